"""`takes replay`: a take is made again, and compared."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import typer

from longtake.cli.meter import Meter
from longtake.cli.progress import ProgressLine
from longtake.cli.request import check_output
from longtake.cli.takes_filming import load
from longtake.journal import Library, ReplayReport


def make_again(id: str, *, verify: bool, out: Path | None, force: bool, quiet: bool) -> bool:
    """Replay a take; returns whether it is what the record says. `out` is put in place when it is whole."""
    if out is not None:
        check_output(out, force=force)
    library = Library()
    record = library.get(id)
    pipe = load(record, quiet=quiet)
    meter, line = Meter(record.fps), ProgressLine(record.frames, quiet=quiet)
    part = None if out is None else out.with_name(f".{out.name}.part")
    with library.media(record.id) as media, ExitStack() as stack:
        init, segments = media.init_segment, media.segments()
        file = None if part is None else stack.enter_context(open(part, "wb"))
        if part is not None:
            stack.callback(part.unlink, missing_ok=True)
        _write(file, init)

        def on_segment(number: int, segment: bytes) -> None:
            _write(file, segment)
            meter.add(segments[number].frames)
            line.update(meter)

        with line:
            report = library.replay(record.id, pipe, verify=verify, on_segment=on_segment)
        if out is not None and part is not None and report.difference is None:
            os.replace(part, out)
    _say(record.id, report, verify=verify, out=out)
    return report.difference is None


def _write(file: BinaryIO | None, data: bytes) -> None:
    if file is not None:
        file.write(data)


def _say(id: str, report: ReplayReport, *, verify: bool, out: Path | None) -> None:
    if report.other_build:
        typer.echo(f"note: another build than the one that began the take: {report.other_build}", err=True)
    if report.difference is not None:
        where = f"chunk {report.difference.index} ({report.difference.what})"
        typer.echo(f"{id}: differs from {where} on; {report.frames} frames before it are equal")
        return
    if verify:
        typer.echo(
            f"{id}: all {report.frames} frames of {report.chunks} chunks are equal, latents and segments too"
        )
    if out is not None:
        typer.echo(f"{out}: {report.frames} frames")
