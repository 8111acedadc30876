"""Times a take while it is made. Wall-clock seconds unless said otherwise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np


class Meter:
    """Counts chunks and frames from the moment it is made, which is when the prompt is accepted."""

    def __init__(self, fps: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._fps = clock, fps
        self._begin = self._last = clock()
        self._chunk_seconds: list[float] = []
        self.frames = 0
        """Frames in the file."""

    def add(self, frames: int) -> None:
        """A chunk of so many frames is in the file."""
        now = self._clock()
        self._chunk_seconds.append(now - self._last)
        self._last = now
        self.frames += frames

    @property
    def chunks(self) -> int:
        """Chunks in the file."""
        return len(self._chunk_seconds)

    @property
    def seconds(self) -> float:
        """From the prompt to the last chunk."""
        return self._last - self._begin

    @property
    def time_to_first_frame(self) -> float:
        """From the prompt to the first frames in the file."""
        return self._chunk_seconds[0]

    @property
    def ahead(self) -> float:
        """Media seconds that are ready beyond what a viewer who started with the first frame has seen."""
        return self.frames / self._fps - (self.seconds - self.time_to_first_frame)

    @property
    def rtf(self) -> float:
        """Media seconds made in a second."""
        return self.frames / self._fps / self.seconds

    def chunk_percentile(self, percent: float) -> float:
        """Seconds that this share of the chunks took at most, encoding included."""
        return float(np.percentile(self._chunk_seconds, percent))


def process_age() -> float:
    """Seconds since this process was started, as near as the system tells."""
    try:
        with open("/proc/self/stat", encoding="ascii") as file:
            started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return time.process_time()  # no /proc: the processor time is the lower bound that is left
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
