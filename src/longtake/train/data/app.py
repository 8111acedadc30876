"""`longtake data`: make training sets of one's own videos. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longtake.errors import UserError

if TYPE_CHECKING:
    from longtake.train.data.prepare import Summary

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
SHOWN = 20
"""Skipped videos that are named on the terminal; --json names all."""


@app.callback()
def data() -> None:
    """Make training sets of your own videos."""


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help="Folder of videos with captions, or of WebDataset tars.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the set; going on where it stopped.")],
    model: Annotated[
        str, typer.Option("--model", help="Whose codec, text encoder, size and frame rate; or a folder.")
    ] = "mini",
    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Instead of the model's.")] = None,
    fps: Annotated[int | None, typer.Option("--fps", min=1, help="Instead of the model's.")] = None,
    latent_frames: Annotated[
        int | None, typer.Option("--latent-frames", min=1, help="Of a clip, instead of the model's window.")
    ] = None,
    shots: Annotated[
        bool, typer.Option("--shots/--no-shots", help="Look for cuts; no clip goes across one.")
    ] = True,
    clips_per_video: Annotated[
        int | None, typer.Option("--clips-per-video", min=1, help="At most so many.")
    ] = None,
    validation: Annotated[
        int, typer.Option("--validation", min=0, help="At most so many clips are set aside.")
    ] = 64,
    uncaptioned: Annotated[
        str, typer.Option("--uncaptioned", help="Videos without a caption: refuse, skip or empty.")
    ] = "refuse",
    text: Annotated[bool, typer.Option("--text/--no-text", help="Store embeddings of the captions.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Cut videos into clips and store their latents and captions; broken videos are listed and skipped."""
    from longtake.models.device import compute_device
    from longtake.models.hub import find
    from longtake.train.data.prepare import prepare as make
    from longtake.train.data.report import DataReport

    checkpoint = find(model)
    changes: dict[str, Any] = {
        "fps": fps,
        "latent_frames": latent_frames,
        "shots": shots,
        "clips_per_video": clips_per_video,
        "validation_clips": validation,
        "uncaptioned": uncaptioned,
    }
    if size is not None:
        changes |= dict(zip(("width", "height"), parse_size(size), strict=True))
    config = _config(model, changes)
    with DataReport() as report:
        made = make(folder, out, config, checkpoint, device=compute_device(), with_text=text, progress=report)
    _print(made, out, as_json)


def _config(model: str, changes: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from longtake.models.hub import look_up
    from longtake.train.data.config import DataConfig, native
    from longtake.train.recipe_file import describe

    values = native(look_up(model).preset, model).model_dump()
    values |= {name: value for name, value in changes.items() if value is not None}
    try:
        return DataConfig.model_validate(values)
    except ValidationError as reason:
        raise UserError(f"longtake data prepare: {describe(reason)}") from None


def _print(made: Summary, out: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(made) | {"out": str(out)}))
        return
    typer.echo(
        f"{out}: {made.clips} clips in {made.shards} shards, {made.validation_clips} set aside, "
        f"of {made.videos} videos; {len(made.skipped)} skipped",
        err=True,
    )
    for entry in made.skipped[:SHOWN]:
        typer.echo(f"  skipped {entry.key}: {entry.reason}", err=True)
    if len(made.skipped) > SHOWN:
        typer.echo(f"  and {len(made.skipped) - SHOWN} more; --json lists all", err=True)


def parse_size(text: str) -> tuple[int, int]:
    """`832x480` as width and height."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UserError(f"--size {text} cannot be read; write it as 832x480")
    return int(width), int(height)
