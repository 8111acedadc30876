"""`longtake takes`: what is recorded, and how to go on with it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from longtake.cli.options import AsJson, Force, Quiet
from longtake.errors import UserError

if TYPE_CHECKING:
    from longtake.journal import TakeRecord

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

Id = Annotated[str, Argument(metavar="ID", help="The take, or the beginning of its id.")]
Provenance = Annotated[
    bool, Option("--provenance/--no-provenance", help="Sign the file with what it is and how it was made.")
]


@app.callback()
def takes() -> None:
    """Takes are recorded while they are made: go on with one, branch from it, make it again."""


@app.command("list")
def list_takes(as_json: AsJson = False) -> None:
    """List all takes, newest first, one a line."""
    from longtake.cli.table import columns
    from longtake.journal import Library

    records = Library().list()
    if as_json:
        typer.echo(json.dumps([record.to_dict() for record in records], ensure_ascii=False))
        return
    for line in columns([_row(record) for record in records]) if records else ():
        typer.echo(line)


@app.command()
def show(id: Id, as_json: AsJson = False) -> None:
    """Show what is known of a take."""
    from longtake.journal import Library

    record = Library().get(id)
    if as_json:
        typer.echo(json.dumps(record.to_dict(), ensure_ascii=False))
        return
    for line in _details(record):
        typer.echo(line)


@app.command()
def resume(
    id: Id,
    out: Annotated[
        Path | None,
        Option("--out", "-o", metavar="FILE", help="Another file than the one it was written to."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Go on with a take that was stopped or killed, and finish its file.

    The file is byte for byte what it would have become. Ctrl-C stops again.
    """
    from longtake.cli.takes_filming import go_on

    go_on(id, out, quiet=quiet)


@app.command()
def branch(
    id: Id,
    at: Annotated[float, Option(metavar="S", help="Media second at which the branch leaves the take.")],
    prompt: Annotated[str | None, Option(metavar="PROMPT", help="What is to be seen from there on.")] = None,
    transition: Annotated[float, Option(metavar="S", help="Seconds over which the prompt changes.")] = 0.0,
    seconds: Annotated[
        float | None, Option(metavar="S", help="Length with the beginning; the take's unless given.")
    ] = None,
    out: Annotated[Path, Option("--out", "-o", metavar="FILE", help="The MP4 file.")] = Path("branch.mp4"),
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make another take from a moment of this one, under another prompt.

    \b
    longtake takes branch 3f2a --at 12.5 --prompt "a blue cube on grass" --seconds 30
    """
    from longtake.cli.takes_filming import branch_off

    branch_off(id, at, prompt, transition=transition, seconds=seconds, out=out, force=force, quiet=quiet)


@app.command()
def replay(
    id: Id,
    verify: Annotated[bool, Option("--verify", help="Compare every latent, frame and segment.")] = False,
    out: Annotated[
        Path | None, Option("--out", "-o", metavar="FILE", help="Write the video that is made again.")
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make a take again from its record: the seed, the directions, and what it was given.

    With --verify the exit code is 1 at the first difference.
    """
    from longtake.cli.takes_replay import make_again

    if not verify and out is None:
        raise UserError("nothing to do: give --verify to compare, --out FILE for the video, or both")
    if not make_again(id, verify=verify, out=out, force=force, quiet=quiet):
        raise typer.Exit(1)


@app.command()
def export(
    id: Id,
    out: Annotated[Path, Option("--out", "-o", metavar="FILE", help="The MP4 file.")],
    force: Force = False,
    provenance: Provenance = True,
) -> None:
    """Write what is recorded of a take into a file."""
    from longtake.cli.request import check_output
    from longtake.cli.takes_filming import sign
    from longtake.journal import Library

    check_output(out, force=force)
    library = Library()
    record = library.get(id)
    library.export(record.id, out, force=force)
    if provenance:
        sign(library, record, out)
    typer.echo(f"{out}: {record.frames} frames, {record.seconds:g} s")


@app.command()
def delete(id: Id) -> None:
    """Remove a take and all that is recorded of it; files that were written beside it stay."""
    from longtake.journal import Library

    library = Library()
    record = library.get(id)
    library.delete(record.id)
    typer.echo(f"{record.id}: deleted, {_size(record.size)} free")


def _row(record: TakeRecord) -> list[str]:
    made = datetime.fromtimestamp(record.created).strftime("%Y-%m-%d %H:%M:%S")
    prompt = " ".join(record.prompt.split())
    if record.parent is not None:
        prompt += f" (branch of {record.parent[:8]} at {record.branched_at:g} s)"
    return [
        record.id,
        made,
        record.status.value,
        f"{record.seconds:.1f} s",
        _size(record.size),
        record.model or "?",
        prompt,
    ]


def _details(record: TakeRecord) -> list[str]:
    length = "no end" if record.num_frames is None else f"{record.num_frames / record.fps:g} s"
    lines = [
        f"id          {record.id}",
        f"created     {datetime.fromtimestamp(record.created).isoformat(' ', 'seconds')}",
        f"status      {record.status.value}" + (f" by process {record.owner}" if record.owner else ""),
        f"model       {record.model}, seed {record.seed}",
        f"video       {record.width}x{record.height} at {record.fps} fps, {record.frames} frames in "
        f"{record.chunks} chunks, {record.seconds:g} s of {length}",
        f"on disk     {_size(record.size)}",
    ]
    if record.kept_from:
        lines.append(
            f"kept from   {record.kept_from / record.fps:g} s on; what came before went to make room"
        )
    if record.parent:
        lines.append(f"branch of   {record.parent} at {record.branched_at:g} s")
    if record.out:
        lines.append(f"file        {record.out}")
    lines.append(f"replay      {record.unreplayable or 'possible'}")
    return [*lines, *map(_cue_line, record.cues), *(f"note        {note}" for note in record.notes)]


def _cue_line(cue: object) -> str:
    from longtake.timeline import Cue

    assert isinstance(cue, Cue)
    where = f"chunk {cue.at_chunk}" if cue.at is None else f"{cue.at:g} s"
    over = f", over {cue.transition:g} s" if cue.transition else ""
    return f"cue         {where}{over}: {cue.prompt}"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
