"""Drift watched while a take is made: an observer that is cheap, never holds a take up, and says when it sees drift.

Every chunk is described as `video/drift.py` describes frames (mean over `SAMPLES` of its frames) and compared with the
take's first seconds. After a change of prompt the reference is taken anew, for the picture is meant to change then.
The alarm is raised once when a figure has been beyond its bound for `PATIENCE` chunks in a row, and again only after it
was back within.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from longtake.chunk import Chunk
from longtake.measure.video.drift import look

__all__ = ["BOUNDS", "Alarm", "DriftWatch"]

SAMPLES = 3
"""Frames of a chunk that are looked at."""
REFERENCE_SECONDS = 2.0
"""How much of the take the rest is compared with."""
PATIENCE = 2
"""Chunks in a row that must be beyond a bound."""
BOUNDS = {"colour": 15.0, "contrast": 8.0, "sharpness": 1.2, "saturation": 12.0}
"""Largest difference from the reference, in the units of `longtake eval` (ΔE, L*, ln, C*)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """Drift was seen."""

    figure: str
    """One of `BOUNDS`."""
    value: float
    """Difference from the beginning."""
    chunk: int
    """Chunk at which it was said."""
    seconds: float
    """Media time of that chunk."""

    def __str__(self) -> str:
        return f"drift of {self.figure} {self.value:+.3g} at {self.seconds:.1f} s"


@dataclass(kw_only=True)
class DriftWatch:
    """An `Observer` of one take."""

    on_alarm: Callable[[Alarm], None] | None = None
    """Told at once; for a progress line, or for something that acts against drift."""
    alarms: list[Alarm] = field(default_factory=list)
    """All so far."""
    latest: dict[str, float] = field(default_factory=dict)
    """Figures of the last chunk against the reference."""
    _reference: list[NDArray[np.float64]] = field(default_factory=list)
    _until: float = REFERENCE_SECONDS
    _beyond: dict[str, int] = field(default_factory=dict)

    def __call__(self, chunk: Chunk) -> None:
        """See a chunk."""
        if chunk.index and any(receipt.first_chunk == chunk.index for receipt in chunk.receipts):
            self._reference, self._until = [], chunk.start_time + REFERENCE_SECONDS
        places = np.unique(np.linspace(0, len(chunk.frames) - 1, SAMPLES).round().astype(int))
        seen = np.mean([look(chunk.frames[place]) for place in places], 0)
        if not self._reference or chunk.start_time < self._until:
            self._reference.append(seen)
            self._beyond = {}
            return
        change = seen - np.mean(self._reference, 0)
        self.latest = {
            "colour": float(np.linalg.norm(change[:3])),
            "contrast": float(change[3]),
            "sharpness": float(change[4]),
            "saturation": float(change[5]),
        }
        for figure, value in self.latest.items():
            self._judge(figure, value, chunk)

    def _judge(self, figure: str, value: float, chunk: Chunk) -> None:
        self._beyond[figure] = self._beyond.get(figure, 0) + 1 if abs(value) > BOUNDS[figure] else 0
        if self._beyond[figure] == PATIENCE:
            alarm = Alarm(figure=figure, value=value, chunk=chunk.index, seconds=chunk.start_time)
            self.alarms.append(alarm)
            if self.on_alarm is not None:
                self.on_alarm(alarm)
