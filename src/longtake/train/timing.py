"""What the training loop counts with: seconds of a run, what is due, and means between two lines of the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

__all__ = ["Clock", "Timer", "Window"]


class Clock:
    """Seconds of this leg, on top of those of earlier ones."""

    def __init__(self, before: float, now: Callable[[], float] = time.monotonic) -> None:
        self.before, self.now, self.began = before, now, now()

    def minutes(self) -> float:
        return (self.now() - self.began) / 60

    def total(self) -> float:
        return self.before + self.now() - self.began


class Timer:
    """True once whenever so many minutes have passed."""

    def __init__(self, minutes: float) -> None:
        self.seconds, self.last = minutes * 60, time.monotonic()

    def __call__(self) -> bool:
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


class Window:
    """Means over the steps between two lines of the log; a figure that no step had keeps its last mean."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self._clear()

    def add(self, figures: Mapping[str, float], clips: int) -> None:
        """Take in the figures of a step."""
        for name, value in figures.items():
            self.values.setdefault(name, []).append(value)
        self.clips += clips

    def take(self) -> dict[str, float]:
        """The means, and begin again."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        self.figures |= {name: sum(values) / len(values) for name, values in self.values.items()}
        figures = {**self.figures, "clips_per_s": self.clips / seconds}
        self._clear()
        return figures

    def _clear(self) -> None:
        self.values: dict[str, list[float]] = {}
        self.clips = 0
        self.began = time.monotonic()
