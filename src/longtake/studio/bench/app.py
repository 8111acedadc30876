"""`longtake bench viewers`, `admission` and `delivery`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from longtake.measure.app.common import Given, command

app = typer.Typer()

SERVED = ("model", "out", "quick", "as_json")
Takes = Annotated[
    int | None,
    typer.Option(
        "--takes", min=1, help="Live takes; as many as the machine allows unless given.", show_default=False
    ),
]


def _say(what: str) -> None:
    typer.echo(what, err=True)


@command(app, SERVED)
def viewers(
    given: Given,
    seconds: Annotated[
        float, typer.Option("--seconds", min=2.0, help="Of the run with trouble; without: 300 at most.")
    ] = 300.0,
    takes: Takes = None,
    small: Annotated[
        bool, typer.Option("--small", help="A smaller model of random weights; 8 takes at once unless given.")
    ] = False,
) -> None:
    """Eight viewers, three of them bad: do the others get every chunk in time, and is everything let go?"""
    from longtake.studio.bench.crowd import crowd
    from longtake.studio.bench.small import small_model

    name = "viewers-small" if small else "viewers"
    with tempfile.TemporaryDirectory() as folder:
        served = str(small_model(Path(folder) / "small")) if small else given.model
        result = crowd(
            served,
            seconds=20.0 if given.quick else seconds,
            takes=takes or (8 if small else None),
            progress=_say,
            name=name,
        )
    given.finish(result)


@command(app, SERVED)
def admission(
    given: Given,
    seconds: Annotated[float, typer.Option("--seconds", min=2.0, help="Of each window.")] = 20.0,
    windows: Annotated[int, typer.Option("--windows", min=1, help="Windows of each kind.")] = 6,
    takes: Takes = None,
) -> None:
    """More is asked for than the machine makes: refused with a time to come again, and felt by nobody?"""
    from longtake.studio.bench.beyond import beyond

    result = beyond(
        given.model,
        seconds=8.0 if given.quick else seconds,
        windows=2 if given.quick else windows,
        takes=takes,
        progress=_say,
    )
    given.finish(result)


@command(app, SERVED)
def delivery(
    given: Given,
    chunks: Annotated[int, typer.Option("--chunks", min=8, help="How many are timed.")] = 200,
) -> None:
    """What serving adds: from a chunk that is there to its bytes at a client."""
    from longtake.studio.bench.delivery import delivery as measure

    given.finish(measure(given.model, chunks=20 if given.quick else chunks))
