"""A player that nobody looks at: when a chunk came too late, and what would be on screen.

It starts with the first chunk and shows frames at their rate. A chunk that is not there when its first frame is due
stalls the picture until it is.
"""

from __future__ import annotations


class Player:
    """Pure logic; the clock is in what it is told."""

    def __init__(self) -> None:
        self.chunks = 0
        """That came after the first."""
        self.late = 0
        """Of these, those that came after they were due, or never."""
        self.stall_seconds = 0.0
        """How long the picture stood still."""
        self._origin: float | None = None
        self._end = 0.0

    def came(self, now: float, start: float, seconds: float) -> None:
        """A chunk came that starts at a media second."""
        if self._origin is None:
            self._origin = now - start
        else:
            self.chunks += 1
            late = now - self._origin - start
            if late > 0:
                self.late += 1
                self.stall_seconds += late
                self._origin += late
        self._end = start + seconds

    def skipped(self) -> None:
        """A chunk never came."""
        self.chunks += 1
        self.late += 1

    def position(self, now: float) -> float:
        """The media second on screen."""
        return 0.0 if self._origin is None else max(0.0, min(now - self._origin, self._end))

    @property
    def is_stalled(self) -> bool:
        """Whether nothing has come yet."""
        return self._origin is None

    @property
    def on_time(self) -> float:
        """Deadline attainment: share of the chunks after the first that were there when they were due."""
        return 1 - self.late / self.chunks if self.chunks else 1.0
