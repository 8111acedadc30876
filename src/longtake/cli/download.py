"""`longtake download`: the files of a model, from the Hub into the models folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from longtake.models.download import Line


def download(
    model: Annotated[str, typer.Argument(metavar="NAME", help="One that `longtake models` lists.")],
    commands: Annotated[
        bool, typer.Option("--commands", help="Only print the commands that fetch what is missing.")
    ] = False,
) -> None:
    """Fetch a model's files and check them.

    It goes on where an earlier attempt broke off. `longtake generate` fetches what it lacks by itself; this is for
    doing it before.
    """
    from longtake.models.download import command, fetch
    from longtake.models.hub import find, look_up

    checkpoint = look_up(model)
    preset = checkpoint.preset
    lacking = tuple(name for name in preset.parts if name not in checkpoint.parts)
    if commands:
        for line in dict.fromkeys(command(preset.part(name)) for name in lacking):
            typer.echo(line)
        return
    if lacking:
        fetch(preset, lacking, to_terminal())
    for name, place in find(model).parts.items():
        typer.echo(f"{name}: {place.path}")


def to_terminal() -> Line:
    """Licence, files and a bar for each on stderr."""
    from tqdm import tqdm

    from longtake.models.download import Line

    return Line(progress=tqdm, say=lambda message: typer.echo(message, err=True))
