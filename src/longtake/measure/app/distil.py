"""Benchmarks of distillation: a student, its teacher, and what other recipes would have given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from longtake.errors import UserError
from longtake.measure.app.common import MODEL, PROMPTS, Given, command, progress

if TYPE_CHECKING:
    from longtake.measure.contest import Entrant

app = typer.Typer()

SEVERAL = tuple(name for name in PROMPTS if name != "model")
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="[NAME=]MODEL", help="A model, under a name for the table; repeat it for each."
    ),
]


@command(app, PROMPTS, prompts=1024)
def student(
    given: Given, teacher: Annotated[str, typer.Option("--teacher", help="What taught it.")] = "mini-teacher"
) -> None:
    """A student against its teacher on the same prompts and seeds: adherence and proxy-FVD of the first clip."""
    from longtake.measure.student import against_teacher as measure

    given.finish(measure(given.bench(), given.pipeline(teacher)))


@command(app, (*MODEL, "quick"))
def speedup(
    given: Given,
    native: Annotated[
        bool, typer.Option("--native", help="With a model's own networks at its own size.")
    ] = False,
) -> None:
    """First frame and throughput of a many-step teacher against a streaming student; random weights unless --native."""
    from longtake.measure.speedup import LARGE, QUICK, native_speedup
    from longtake.measure.speedup import speedup as measure

    given.set_threads()
    if native:
        steps = {"frames": 45, "steps": 4} if given.quick else {}
        result = native_speedup(given.pipeline(), progress, **steps)
    else:
        result = measure(progress, QUICK if given.quick else LARGE)
    given.finish(result)


@command(app, SEVERAL, prompts=32)
def drift(
    given: Given,
    models: Models = None,
    frames: Annotated[
        int, typer.Option("--frames", min=16, help="Frames of a take; 240 with --quick.")
    ] = 1200,
) -> None:
    """Long takes of several models side by side: adherence at the end, curves of drift. The first is compared with."""
    from longtake.measure.rivals import drift as measure

    found = _opened(given, models)
    given.finish(measure(given.bench(found[0].pipe), found, min(frames, 240) if given.quick else frames))


@command(app, SEVERAL, prompts=256)
def ablations(
    given: Given,
    models: Models = None,
    frames: Annotated[int, typer.Option("--frames", min=16, help="Frames of a take.")] = 96,
) -> None:
    """Students of several recipes side by side, one table; differences are to the first, on the same prompts."""
    from longtake.measure.rivals import ablations as measure

    found = _opened(given, models)
    given.finish(measure(given.bench(found[0].pipe), found, frames))


def _opened(given: Given, models: list[str] | None) -> list[Entrant]:
    from longtake.measure.contest import entrants

    if models is None or len(models) < 2:
        raise UserError("give --model for each of the models that are compared, two at least")
    return entrants(models, given.pipeline)
