"""`longtake bench streamingt2v`: the claims of StreamingT2V on a model that has its memories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longtake.errors import UserError
from longtake.measure.app.common import (
    FOLDER,
    QUICK,
    AsJson,
    Fresh,
    Level,
    Model,
    Out,
    Pictures,
    Prompts,
    Quick,
    Threads,
    finish,
    open_bench,
    progress,
)

app = typer.Typer()

PARTS = ("ablations", "lengths", "blending")


@app.command()
def streamingt2v(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="ablations, lengths or blending.")
    ] = "ablations",
    cam: Annotated[
        list[str] | None,
        typer.Option(
            "--cam",
            metavar="NAME=FOLDER",
            help="Another short-term memory to compare with: a folder with its cam/.",
        ),
    ] = None,
    frames: Annotated[
        list[int] | None,
        typer.Option(
            "--frames", min=8, help="Of a take of ablations (240), or each of the lengths; repeatable."
        ),
    ] = None,
    level: Level = 1,
    prompts: Prompts = 64,
    model: Model = "mini",
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """StreamingT2V: its memory against adding and concatenating, anchors on and off; 80 to 1,200 frames; joins."""
    if what not in PARTS:
        raise UserError(f"{what!r} is unknown; give one of {', '.join(PARTS)}")
    if what == "blending":
        _blending(model, QUICK if quick else prompts, out, pictures, as_json)
        return
    from longtake.measure.streamingt2v import LENGTHS, ablations, lengths, opened

    place = out / "quick" if quick else out
    bench = open_bench(model, threads, level, QUICK if quick else prompts, place, pictures, fresh)
    if what == "lengths":
        finish(lengths(bench, tuple(frames or LENGTHS)), bench.out, as_json)
    else:
        others = opened(cam or (), bench.pipe)
        finish(ablations(bench, others, frames[0] if frames else 240), bench.out, as_json)


def _blending(model: str, clips: int, out: Path, pictures: Path | None, as_json: bool) -> None:
    from longtake.measure.blending import blending, subject

    found = subject(model)
    spec = found.enhancer.spec
    result = blending(found, clips, 96, spec.native.width // spec.scale, progress, pictures or out)
    finish(result, out, as_json)
