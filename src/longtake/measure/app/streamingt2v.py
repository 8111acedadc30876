"""`longtake bench streamingt2v`: the claims of StreamingT2V on a model that has its memories."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.errors import UserError
from longtake.measure.app.common import PROMPTS, QUICK, Given, command, progress

app = typer.Typer()

PARTS = ("ablations", "lengths", "blending")
ABLATED, BLENDED = 240, 65
"""Frames of a take of ablations, and of a clip of blending, unless given."""


@command(app, PROMPTS)
def streamingt2v(
    given: Given,
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
            "--frames",
            min=8,
            help="Of a take of ablations (240) or a clip of blending (65), or each of the lengths; repeatable.",
        ),
    ] = None,
) -> None:
    """StreamingT2V: its memory against adding and concatenating, anchors on and off; 80 to 1,200 frames; joins.

    `blending` measures the windows of the model's enhancer over as many toybox clips as there would be prompts, by
    themselves, with shared noise, averaged, and by randomized blending; it keeps nothing to go on from. A model without
    an enhancer is measured with random weights, which the result says.
    """
    from longtake.measure.streamingt2v import LENGTHS, ablations, lengths, opened

    if what not in PARTS:
        raise UserError(f"{what!r} is unknown; give one of {', '.join(PARTS)}")
    if cam and what != "ablations":
        raise UserError(f"--cam is for ablations, not for {what}; leave it out")
    if what == "blending":
        _blending(given, frames[0] if frames else BLENDED)
        return
    bench = given.bench()
    if what == "lengths":
        given.finish(lengths(bench, tuple(frames or LENGTHS)))
    else:
        given.finish(ablations(bench, opened(cam or (), bench.pipe), frames[0] if frames else ABLATED))


def _blending(given: Given, frames: int) -> None:
    from longtake.measure.blending import blending, subject

    if given.part is not None:
        raise UserError("blending keeps nothing that other parts could add to; leave out --part")
    given.set_threads()
    found = subject(given.model)
    spec = found.enhancer.spec
    clips = QUICK if given.quick else given.prompts
    size, pictures = spec.native.width // spec.scale, given.pictures or given.place
    given.finish(blending(found, clips, frames, size, progress, pictures, given.level))
