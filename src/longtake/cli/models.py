"""`longtake models`: what `--model` accepts by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from longtake.models.hub import Preset
    from longtake.models.parts import Part


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the models that are known by name.

    What each is, its licence, its size, and whether it is on disk.

    Nothing is downloaded. `longtake doctor --model NAME` says what one needs here.
    """
    from longtake.cli.table import columns
    from longtake.models.hub import presets

    entries = [_entry(preset) for preset in presets().values()]
    if as_json:
        typer.echo(json.dumps(entries, ensure_ascii=False))
        return
    for line in columns([_row(entry) for entry in entries]):
        typer.echo(line)


def _entry(preset: Preset) -> dict[str, Any]:
    from longtake.models.hub import look_up

    checkpoint = look_up(preset.name)
    return {
        "name": preset.name,
        "summary": preset.summary,
        "licence": preset.licence,
        "non_commercial": preset.non_commercial,
        "width": preset.native.width,
        "height": preset.native.height,
        "fps": preset.native.fps,
        "download_gb": _gigabytes(preset),
        "download_at_least": not _all_known(preset),
        "weights_gib": _gibibytes(preset),
        "on_disk": not checkpoint.missing,
        "missing": list(checkpoint.missing),
    }


def _gigabytes(preset: Preset) -> float | None:
    """Size of what it takes from the Hub, as far as that is known."""
    if not preset.parts:
        return None
    files = {(part.repo, file.path): file.bytes for part in _needed(preset) for file in part.files}
    return round(sum(size or 0 for size in files.values()) / 1e9, 1)


def _needed(preset: Preset) -> list[Part]:
    return [preset.part(name) for name in preset.needed if name in preset.parts]


def _all_known(preset: Preset) -> bool:
    """Whether the size of every large file is known; configs count for nothing."""
    files = [file for part in _needed(preset) for file in part.files]
    return all(file.bytes is not None or file.path.endswith(".json") for file in files)


def _gibibytes(preset: Preset) -> float | None:
    """Memory of the transformer's weights in 16 bits; the least that a GPU must hold."""
    return round(preset.network.parameters * 2 / 2**30, 1) if preset.network else None


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return (
        entry["name"],
        f"{entry['width']}x{entry['height']}",
        f"{entry['fps']} fps",
        entry["licence"] + (" (non-commercial)" if entry["non_commercial"] else ""),
        _download(entry),
        "" if entry["weights_gib"] is None else f"{entry['weights_gib']:.1f} GiB of weights",
        "on disk" if entry["on_disk"] else "not on disk",
        entry["summary"],
    )


def _download(entry: dict[str, Any]) -> str:
    if entry["download_gb"] is None:
        return "in the package"
    return f"{entry['download_gb']:.1f} GB" + (" or more" if entry["download_at_least"] else "")
