"""`longtake world`: look at toybox. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from longtake.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

MAX_SEED = 2**31


@app.callback()
def world() -> None:
    """Look at toybox, the world that mini was trained on."""


def _check_output(path: Path, force: bool) -> None:
    """Refuse a file that cannot be written, or that is there and may not be replaced."""
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; give a file name such as {path / 'sheet.png'}")
    if path.suffix.lower() != ".png":
        raise UserError(f"--out {path}: only PNG is written; give a name that ends in .png")
    if path.exists() and not force:
        raise UserError(f"--out {path} exists; give another name, or --force to replace it")
    try:
        if not path.exists():
            tempfile.TemporaryFile(dir=path.parent).close()
        elif not os.access(path, os.W_OK):
            raise UserError(f"--out {path} cannot be written; give a file that you may write")
    except OSError as error:
        raise UserError(
            f"--out {path} cannot be written: {error.strerror}; give a folder that is there"
        ) from error


@app.command()
def preview(
    out: Annotated[Path, typer.Option("--out", help="The PNG file to write.")],
    seed: Annotated[int, typer.Option("--seed", help="Another seed shows other scenes.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a contact sheet of a dozen scenes, their captions, and every word that mini knows."""
    if not 0 <= seed < MAX_SEED:
        raise UserError(f"--seed {seed} is out of range; give a whole number from 0 to {MAX_SEED - 1}")
    _check_output(out, force)
    from longtake.world.preview import sheet

    try:
        sheet(out, seed)
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror}; free some space") from error


@app.command("words")
def list_words(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List what a prompt can ask for, by kind, and every word that captions use."""
    from longtake.world.vocabulary import groups

    if as_json:
        typer.echo(json.dumps({name: list(values) for name, values in groups().items()}))
        return
    for name, values in groups().items():
        typer.echo(f"{name:<10}{', '.join(values)}")
