"""One take, many viewers: it is made and written down once, and each viewer has a short queue of its own.

Every chunk stands by itself (it begins with a key frame), so a viewer that is too slow goes on at the newest chunk. One
that takes nothing at all is let go. None of it is felt by the take or by the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONTROL = 32
"""Messages without media that may wait for one viewer, for each chunk that may."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """A message, and the media that follows it."""

    message: Mapping[str, Any]
    """What is said."""
    media: bytes | None = None
    """What is shown."""
    start: float = 0.0
    """Media second where the media starts."""
    ready_at: float | None = None
    """When the media was there, on the monotonic clock."""
    is_head: bool = False
    """Whether the media is the head of a stream, without which what follows cannot be read."""

    @property
    def can_be_skipped(self) -> bool:
        """Whether it is a chunk, without which the others play."""
        return self.media is not None and not self.is_head


class Viewer:
    """What waits for one viewer.

    chunks: how many may wait. A viewer that is catching up takes no media until it says so.
    """

    def __init__(self, chunks: int) -> None:
        self.is_behind = True
        self.is_overrun = False
        self.skipped = 0
        self._most = chunks
        self._waiting: deque[Parcel] = deque()
        self._news = asyncio.Event()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing more comes."""
        return self._is_closed

    def offer(self, parcel: Parcel) -> None:
        """Put something in the queue; never waits."""
        if self._is_closed or (parcel.can_be_skipped and self.is_behind):
            return
        if parcel.can_be_skipped and self._count_media() >= self._most:
            self._skip(parcel)
        if len(self._waiting) >= self._most * CONTROL:
            self.is_overrun = True
            self.close(at_once=True)
            return
        self._waiting.append(parcel)
        self._news.set()

    def close(self, *, at_once: bool = False) -> None:
        """Nothing more comes; what waits is still taken, unless `at_once`."""
        self._is_closed = True
        if at_once:
            self._waiting.clear()
        self._news.set()

    def take(self) -> Parcel | None:
        """The next parcel, if there is one now."""
        return self._waiting.popleft() if self._waiting else None

    async def next(self) -> Parcel | None:
        """The next parcel; None when nothing more comes."""
        while not self._waiting:
            if self._is_closed:
                return None
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def _count_media(self) -> int:
        return sum(parcel.can_be_skipped for parcel in self._waiting)

    def _skip(self, newest: Parcel) -> None:
        """Drop the media that waits, and say so."""
        dropped = [parcel for parcel in self._waiting if parcel.can_be_skipped]
        self.skipped += len(dropped)
        kept = [parcel for parcel in self._waiting if not parcel.can_be_skipped]
        hole = {"type": "session.skipped", "from": dropped[0].start, "to": newest.start}
        self._waiting = deque([*kept, Parcel(message=hole)])


class Audience:
    """The viewers of one take."""

    def __init__(self) -> None:
        self._viewers: set[Viewer] = set()

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, viewer: Viewer) -> None:
        """One more."""
        self._viewers.add(viewer)

    def leave(self, viewer: Viewer) -> None:
        """One less; again is no harm."""
        self._viewers.discard(viewer)

    def tell(self, parcel: Parcel) -> None:
        """Give the same parcel to all."""
        for viewer in self._viewers:
            viewer.offer(parcel)

    def close(self) -> None:
        """Nothing more comes for any."""
        for viewer in self._viewers:
            viewer.close()
