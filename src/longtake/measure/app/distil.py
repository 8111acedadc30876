"""Benchmarks of distillation: a student, its teacher, and what other recipes would have given."""

from __future__ import annotations

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
    bench_of,
    finish,
    open_bench,
    open_pipeline,
    progress,
    set_threads,
)

app = typer.Typer()

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="[NAME=]MODEL", help="A model, under a name for the table; repeat it for each."
    ),
]


@app.command()
def student(
    model: Model = "mini",
    teacher: Annotated[str, typer.Option("--teacher", help="What taught it.")] = "mini-teacher",
    level: Level = 1,
    prompts: Prompts = 1024,
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """A student against its teacher on the same prompts and seeds: adherence and proxy-FVD of the first clip."""
    from longtake.measure.student import against_teacher as measure

    bench = open_bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    finish(measure(bench, open_pipeline(teacher, threads)), bench.out, as_json)


@app.command()
def speedup(
    native: Annotated[
        bool, typer.Option("--native", help="With a model's own networks at its own size.")
    ] = False,
    model: Model = "mini",
    quick: Annotated[
        bool, typer.Option("--quick", help="Much smaller, into a result of its own folder.")
    ] = False,
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """First frame and throughput of a many-step teacher against a streaming student; random weights unless --native."""
    from longtake.measure.speedup import LARGE, QUICK, native_speedup
    from longtake.measure.speedup import speedup as measure

    set_threads(threads)
    out = out / "quick" if quick else out
    if native:
        steps = {"frames": 45, "steps": 4} if quick else {}
        finish(native_speedup(open_pipeline(model, threads), progress, **steps), out, as_json)
    else:
        finish(measure(progress, QUICK if quick else LARGE), out, as_json)


@app.command()
def drift(
    models: Models = None,
    frames: Annotated[
        int, typer.Option("--frames", min=16, help="Frames of a take; 240 with --quick.")
    ] = 1200,
    level: Level = 1,
    prompts: Prompts = 32,
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Long takes of several models side by side: adherence at the end, curves of drift. The first is compared with."""
    from longtake.measure.contest import entrants
    from longtake.measure.rivals import drift as measure

    found = entrants(_several(models), lambda model: open_pipeline(model, threads))
    place = out / "quick" if quick else out
    bench = bench_of(found[0].pipe, level, QUICK if quick else prompts, place, pictures, fresh)
    finish(measure(bench, found, min(frames, 240) if quick else frames), bench.out, as_json)


@app.command()
def ablations(
    models: Models = None,
    frames: Annotated[int, typer.Option("--frames", min=16, help="Frames of a take.")] = 96,
    level: Level = 1,
    prompts: Prompts = 256,
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Students of several recipes side by side, one table; differences are to the first, on the same prompts."""
    from longtake.measure.contest import entrants
    from longtake.measure.rivals import ablations as measure

    found = entrants(_several(models), lambda model: open_pipeline(model, threads))
    place = out / "quick" if quick else out
    bench = bench_of(found[0].pipe, level, QUICK if quick else prompts, place, pictures, fresh)
    finish(measure(bench, found, frames), bench.out, as_json)


def _several(models: list[str] | None) -> list[str]:
    if models is None or len(models) < 2:
        raise UserError("give --model for each of the models that are compared, two at least")
    return models
