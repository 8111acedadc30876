"""The `longtake` command and its sub-commands."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake import __version__
from longtake.cli.convert import convert
from longtake.cli.doctor import doctor
from longtake.cli.download import download
from longtake.cli.enhance import enhance
from longtake.cli.extend import extend
from longtake.cli.generate import generate
from longtake.cli.lazy import LazyGroup
from longtake.cli.models import models
from longtake.cli.provenance import provenance
from longtake.cli.serve import serve, studio

app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


@app.callback(invoke_without_command=True)
def longtake(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Text in, video streaming out: a take of any length, made while you watch.

    \b
    longtake generate "a red sphere rolls to the right on a wooden floor"
    """
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(generate)
app.command()(extend)
app.command()(enhance)
app.command()(models)
app.command()(download)
app.command()(convert)
app.command()(doctor)
app.command()(provenance)
app.command()(studio)
app.command()(serve)
