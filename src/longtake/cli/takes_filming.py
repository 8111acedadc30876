"""`takes resume` and `takes branch`: going on with a take, and its file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from longtake.cli.filming import into
from longtake.cli.meter import Meter
from longtake.cli.opening import Opening
from longtake.cli.progress import ProgressLine
from longtake.cli.request import LONGEST, check_output
from longtake.cli.signals import Stopped
from longtake.cli.signing import Signing
from longtake.errors import UserError
from longtake.journal import Library, RecordedTake, Status, TakeRecord
from longtake.journal.output import continue_file, is_beginning
from longtake.pipeline import Pipeline
from longtake.provenance.manifest import Relationship, Source


def go_on(id: str, out: Path | None, *, quiet: bool) -> None:
    """Resume a take, and write its file to the end. Raises `Stopped` when it is stopped again."""
    library = Library()
    record = library.get(id)
    given = out or (Path(record.out) if record.out else None)
    if record.status is Status.FINISHED and _is_done(library, record, given):
        typer.echo(f"{record.id} is finished; `longtake takes export` writes it to another file")
        return
    with library.resume(record.id, load(record, quiet=quiet)) as take:
        _film(library, take, given, quiet=quiet)


def branch_off(
    id: str,
    at: float,
    prompt: str | None,
    *,
    transition: float,
    seconds: float | None,
    out: Path,
    force: bool,
    quiet: bool,
) -> None:
    """Make a branch of a take, with a file of its own. Raises `Stopped` when it is stopped."""
    check_output(out, force=force)
    library = Library()
    record = library.get(id)
    num_frames = _length(record, seconds)
    with library.branch(
        record.id,
        at,
        prompt,
        load(record, quiet=quiet),
        transition=transition,
        num_frames=num_frames,
        out=out,
    ) as take:
        if force:
            out.unlink(missing_ok=True)
        _film(library, take, out, quiet=quiet)


def load(record: TakeRecord, *, quiet: bool) -> Pipeline:
    """Open a take's model again."""
    if not record.loading:
        raise UserError(f"take {record.id} cannot be opened: {record.unreplayable}")
    model, opening = str(record.loading["model"]), record.loading.get("opening")
    with Console(stderr=True, quiet=quiet).status(f"loading {model}"):
        return (Opening.from_dict(opening) if opening else Opening()).open(model)


def sign(library: Library, record: TakeRecord, path: Path) -> str | None:
    """Sign a finished file as the command that began the take would have; returns the signer's name."""
    with library.media(record.id) as media:
        receipts = [receipt for segment in media.segments() for receipt in segment.receipts]
    signing = _signing(record.loading)
    return signing.sign(path, model=record.model, seed=record.seed, receipts=receipts)


def _signing(loading: Mapping[str, Any]) -> Signing:
    source = loading.get("source")
    return Signing(
        on=bool(loading.get("provenance", True)),
        private=bool(loading.get("private", False)),
        source=Source(path=Path(source[0]), relationship=Relationship(source[1])) if source else None,
    )


def _length(record: TakeRecord, seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if not 0 < seconds <= LONGEST or (count := round(seconds * record.fps)) < 1:
        raise UserError(f"--seconds {seconds:g} is not a length; give a number above 0, up to {LONGEST}")
    return count


def _is_done(library: Library, record: TakeRecord, out: Path | None) -> bool:
    """Whether the file of a finished take needs nothing: there is none, or it was signed when it was whole."""
    if out is None or not out.exists():
        return out is None
    with library.media(record.id) as media:
        return not is_beginning(out, media, media.segments())


def _film(library: Library, take: RecordedTake, out: Path | None, *, quiet: bool) -> None:
    """Make the rest of a take."""
    for note in take.notes:
        typer.echo(f"note: {note}", err=True)
    record = library.get(take.id)
    meter, line = Meter(record.fps), ProgressLine(record.num_frames, quiet=quiet)
    with library.media(take.id) as media:
        writer = None if out is None else continue_file(out, media)
    stopped = None
    try:
        with writer or nullcontext(), line:
            for made in take:
                chunk = made.chunk if writer is None else into(writer, take, made)
                meter.add(len(chunk.frames))
                line.update(meter)
    except Stopped as signal:
        stopped = signal
    _report(library, library.get(take.id), out, stopped)
    if stopped is not None:
        raise stopped


def _report(library: Library, record: TakeRecord, out: Path | None, stopped: Stopped | None) -> None:
    signer = sign(library, record, out) if out is not None and stopped is None and out.exists() else None
    typer.echo(f"{out or record.id}: {record.frames} frames, {record.seconds:g} s at {record.fps} fps")
    if stopped is not None:
        typer.echo(f"stopped before its end; finish it with `longtake takes resume {record.id}`")
    else:
        typer.echo(f"take {record.id}" + (f", signed by {signer}" if signer else ""))
