"""How a training run is shown on stderr: a Rich progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["RunReport", "ShardReport"]


def _bar(console: Console, unit: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class RunReport:
    """See `recipe.Report`. A context manager, so that the bar is closed."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar = _bar(self.console, "steps")
        self.task = self.bar.add_task("training", total=None)

    def __enter__(self) -> RunReport:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def record(self, record: Mapping[str, object]) -> None:
        """Show one line of the log."""
        self.bar.update(
            self.task,
            total=float(str(record["of"])),
            completed=float(str(record["step"])),
            description=_words(record),
        )
        if record["kind"] == "validation" or not self.console.is_terminal:
            self.console.print(
                f"step {record['step']}/{record['of']}  {_words(record)}", highlight=False, soft_wrap=True
            )


def _words(record: Mapping[str, object]) -> str:
    hidden = ("kind", "step", "of", "stage", "seconds")
    figures = "  ".join(f"{name} {value}" for name, value in record.items() if name not in hidden)
    return f"{record['stage']} {record['kind']}  {figures}"


class ShardReport:
    """Progress of `make_latents`, called with (done, total)."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bar = _bar(self.console, "shards")
        self.task = self.bar.add_task("rendering and encoding", total=None)

    def __enter__(self) -> ShardReport:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self.bar.update(self.task, total=total, completed=done)
        if not self.console.is_terminal:
            self.console.print(f"{done} of {total} shards", highlight=False)
