"""What is counted of one screening: how far it is, what it cost, how long its viewers wait."""

from __future__ import annotations

import time

from longtake.studio.events import Begun, Made, Rewound
from longtake.studio.house import House


class Tally:
    """Figures of one take while it is made; told to the server's own as well."""

    def __init__(self, house: House, who: str, *, is_live: bool) -> None:
        self._house, self._who, self._is_live = house, who, is_live
        self._ordered_at = self._last_at = time.monotonic()
        self.next_index = 0
        """Number of the next chunk."""
        self.made = 0.0
        """Media second where that begins."""
        self.chunks = 0
        """Made in this screening."""
        self.drift: dict[str, float] | None = None
        """Latest figures against the beginning of the take."""
        self.memory_bytes = 0
        """What the take remembers of its past."""
        self.first_chunk_seconds: float | None = None
        """From the order to the first chunk."""
        self.steer_seconds: float | None = None
        """Media seconds from the last direction to its first picture."""

    def begin(self, begun: Begun) -> None:
        """The take is open."""
        self.next_index, self.made = begun.next_index, begun.media_time

    def book(self, made: Made) -> None:
        """A chunk is there."""
        metrics, now = self._house.metrics, time.monotonic()
        if self.first_chunk_seconds is None:
            self.first_chunk_seconds = now - self._ordered_at
            metrics.first_chunk.observe(self.first_chunk_seconds)
        elif self._is_live:
            metrics.interval.observe(now - self._last_at)
        self._last_at = now
        self.next_index, self.made = made.index + 1, made.end
        self.chunks += 1
        self.drift = None if made.drift is None else dict(made.drift)
        self.memory_bytes = made.memory_bytes
        metrics.chunks.inc()
        metrics.compute.observe(made.compute)
        if made.late:
            metrics.missed.inc()
            metrics.stall.inc(made.late)
        self._house.admission.spend(self._who, made.compute)

    def steered(self, lag: float) -> None:
        """A direction is seen, so many media seconds after it was given."""
        self.steer_seconds = lag
        self._house.metrics.direction.observe(lag)

    def rewind(self, event: Rewound) -> None:
        """The take goes on from earlier."""
        self.next_index, self.made = event.next_index, event.media_time
