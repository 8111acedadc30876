"""How a training run is shown on stderr: a Rich progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Bar", "RunReport", "ShardReport"]


class Bar:
    """A progress bar that closes itself; where there is no terminal it is not shown."""

    def __init__(self, task: str, unit: str = "") -> None:
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(task, total=None)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def say(self, line: str) -> None:
        """A line where there is no terminal."""
        if not self.console.is_terminal:
            self.console.print(line, highlight=False, soft_wrap=True)


class RunReport(Bar):
    """See `recipe.Report`."""

    def __init__(self) -> None:
        super().__init__("training", "steps")

    def record(self, record: Mapping[str, object]) -> None:
        """Show one line of the log; on a terminal only those of validation stay."""
        words = _words(record)
        total, completed = float(str(record["of"])), float(str(record["step"]))
        self.bar.update(self.task, total=total, completed=completed, description=words)
        line = f"step {record['step']}/{record['of']}  {words}"
        if record["kind"] == "validation":
            self.console.print(line, highlight=False, soft_wrap=True)
        else:
            self.say(line)


def _words(record: Mapping[str, object]) -> str:
    hidden = ("kind", "step", "of", "stage", "seconds")
    figures = "  ".join(f"{name} {value}" for name, value in record.items() if name not in hidden)
    return f"{record['stage']} {record['kind']}  {figures}"


class ShardReport(Bar):
    """Progress of `make_latents`, called with (done, total)."""

    def __init__(self) -> None:
        super().__init__("rendering and encoding", "shards")

    def __call__(self, done: int, total: int) -> None:
        self.bar.update(self.task, total=total, completed=done)
        self.say(f"{done} of {total} shards")
