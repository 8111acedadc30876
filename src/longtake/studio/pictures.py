"""Pictures that a client sends while its take is made: a webcam, a game's rough rendering.

The newest count. What has not been used when the buffer is full is dropped, oldest first; where too few have come, the
last one stands. So the delay is bounded by one chunk, whatever rate the client sends at.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


class LivePictures:
    """A buffer between the connection and the worker; iterating it never ends and never waits after the first.

    most: pictures that wait; as many as a chunk shows.
    """

    def __init__(self, most: int) -> None:
        self._waiting: deque[tuple[int, Picture]] = deque(maxlen=max(1, most))
        self._lock = threading.Lock()
        self._last: tuple[int, Picture] | None = None
        self._first_used: int | None = None
        self.received = 0
        self.dropped = 0

    @property
    def has_begun(self) -> bool:
        """Whether there is a picture to show."""
        return self._last is not None or bool(self._waiting)

    def add(self, picture: Picture) -> None:
        """A picture `uint8 [H, W, 3]`; all of one size."""
        with self._lock:
            self.dropped += len(self._waiting) == self._waiting.maxlen
            self._waiting.append((self.received, picture))
            self.received += 1

    def __iter__(self) -> Iterator[Picture]:
        return self

    def __next__(self) -> Picture:
        with self._lock:
            if self._waiting:
                self._last = self._waiting.popleft()
            if self._last is None:
                raise StopIteration
            if self._first_used is None:
                self._first_used = self._last[0]
            return self._last[1]

    def used(self) -> tuple[int, int] | None:
        """The pictures used since the last call: the first, and the one after the last."""
        with self._lock:
            if self._first_used is None or self._last is None:
                return None
            span = self._first_used, self._last[0] + 1
            self._first_used = None
            return span
