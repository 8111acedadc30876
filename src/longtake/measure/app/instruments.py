"""Whether the instruments themselves work, and all results as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longtake.measure.app.common import FOLDER, PLAIN, Given, command, progress

app = typer.Typer()


@command(app, PLAIN)
def reader(
    given: Given,
    windows: Annotated[int, typer.Option("--windows", min=8, help="True windows.")] = 1000,
    faulty: Annotated[int, typer.Option("--faulty", min=8, help="Windows of each kind of fault.")] = 200,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder of a reader; the package's own unless given.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write gate.json beside the weights and report what passed only.")
    ] = False,
) -> None:
    """The reader's gate: 98 % right on true renderings, 95 % unknown on faulty ones."""
    from longtake.measure.gate import gate
    from longtake.measure.gate import record as write
    from longtake.world.reader import WEIGHTS, Reader

    folder = weights or WEIGHTS
    result = gate(Reader.load(folder), windows, faulty, progress)
    if record:
        write(result, folder)
    given.finish(result)


@command(app, PLAIN, "cuts")
def cut_counter(
    given: Given,
    clips: Annotated[int, typer.Option("--clips", min=10, help="Clips, all kinds alike.")] = 200,
) -> None:
    """The cut counter on clips with known cuts, fades, flashes and none."""
    from longtake.measure.instruments import cut_counter as measure

    given.finish(measure(clips, progress))


@command(app, PLAIN)
def metrics(
    given: Given,
    frames: Annotated[int, typer.Option("--frames", min=64, help="Frames of each clip.")] = 1200,
) -> None:
    """Frames a second of the metrics that `longtake eval` computes."""
    from longtake.measure.instruments import metric_speed as measure

    given.finish(measure(frames, (64, 128, 256), progress))


@app.command()
def report(
    results: Annotated[Path, typer.Option("--results", help="Folder of the results.")] = FOLDER,
    out: Annotated[Path | None, typer.Option("--out", help="Markdown file; stdout unless given.")] = None,
) -> None:
    """All results as one Markdown page."""
    from longtake.measure.report import document, load_all, weights_now

    found = load_all(results)
    text = document(found, results, weights_now(found))
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
