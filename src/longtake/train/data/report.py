"""Progress of `longtake data prepare` on stderr: a bar on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["DataReport"]

LINES = 20
"""Lines that one kind of work is told in, where there is no terminal."""


class DataReport:
    """Called with (what, done, total). A context manager, so that the bar is closed."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("reading the folder", total=None)

    def __enter__(self) -> DataReport:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar.update(self.task, description=what, completed=done, total=total)
        if not self.console.is_terminal and done % max(1, total // LINES) == 0:
            self.console.print(f"{done} of {total} {what}", highlight=False)
