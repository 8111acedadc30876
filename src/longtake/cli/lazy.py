"""Groups of commands whose modules are imported when one of their commands runs, not to print the help."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Mounted:
    """A Typer app that lives in another module."""

    target: str
    """`package.module:attribute`."""
    help: str
    """One line for the list of commands."""

    def stub(self, name: str) -> TyperGroup:
        """Stands for the group in a list of commands."""
        return TyperGroup(name=name, help=self.help)

    def load(self, name: str) -> Any:
        """Import the group."""
        module, attribute = self.target.split(":")
        command = typer.main.get_command(getattr(import_module(module), attribute))
        command.name = name
        _in_plain_text(command)
        return command


def _in_plain_text(command: Any) -> None:
    """Give a group the look of the main command, whatever its own app was made with."""
    command.rich_markup_mode = None
    for child in getattr(command, "commands", {}).values():
        _in_plain_text(child)


MOUNTED = {
    "takes": Mounted("longtake.cli.takes:app", "List, resume, branch, replay and export takes."),
    "world": Mounted("longtake.world.app:app", "Look at toybox, the world that mini was trained on."),
    "train": Mounted("longtake.train.app:app", "Train the networks, one recipe each."),
    "data": Mounted("longtake.train.data.app:app", "Make training sets of your own videos."),
    "eval": Mounted(
        "longtake.measure.video.app:app", "Measure a video file: MAWE, cuts, drift, seams, CLIP score."
    ),
    "bench": Mounted("longtake.cli.bench:app", "Measure speed, quality and the cost of length."),
}


class LazyGroup(TyperGroup):
    """A group that lists `MOUNTED` beside its own commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *MOUNTED]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in MOUNTED:
            return MOUNTED[cmd_name].stub(cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in MOUNTED:
            command = MOUNTED[name].load(name)
        return name, command, rest
