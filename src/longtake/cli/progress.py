"""The progress line on stderr: chunks, frames, speed, and how far ahead of playback the take is."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from longtake.cli.meter import Meter


class ProgressLine:
    """Shows a `Meter` while chunks arrive; shows nothing when `quiet`."""

    def __init__(self, total_frames: int | None, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("chunk {task.fields[chunks]}"),
            BarColumn(bar_width=24),
            TextColumn("frame {task.completed}{task.fields[of]}"),
            TextColumn("{task.fields[speed]:.1f} fps"),
            TextColumn("{task.fields[ahead]}"),
            TextColumn("[yellow]{task.fields[alarm]}"),
            console=Console(stderr=True),
            disable=quiet,
        )
        of = "" if total_frames is None else f"/{total_frames}"
        self._task = self._progress.add_task(
            "", total=total_frames, of=of, chunks=0, speed=0.0, ahead="", alarm=""
        )

    def update(self, meter: Meter, alarm: str = "") -> None:
        """Show what the meter says now, and the latest alarm."""
        self._progress.update(
            self._task,
            completed=meter.frames,
            chunks=meter.chunks,
            speed=meter.frames / meter.seconds,
            ahead=f"{abs(meter.ahead):.1f} s {'ahead of' if meter.ahead >= 0 else 'behind'} playback",
            alarm=alarm,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
