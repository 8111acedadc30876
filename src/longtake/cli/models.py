"""`longtake models`: what `--model` accepts by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from longtake.models.hub import Preset


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the models that are known by name."""
    from longtake.cli.table import columns
    from longtake.models.hub import presets

    entries = [_entry(preset) for preset in presets().values()]
    if as_json:
        typer.echo(json.dumps(entries, ensure_ascii=False))
        return
    rows = [
        (e["name"], f"{e['width']}x{e['height']}", f"{e['fps']} fps", e["licence"], e["summary"])
        for e in entries
    ]
    for line in columns(rows):
        typer.echo(line)


def _entry(preset: Preset) -> dict[str, Any]:
    return {
        "name": preset.name,
        "summary": preset.summary,
        "licence": preset.licence,
        "width": preset.native.width,
        "height": preset.native.height,
        "fps": preset.native.fps,
    }
