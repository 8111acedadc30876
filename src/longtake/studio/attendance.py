"""Who watches a screening, and for how long it goes on: nothing is made that nobody watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from longtake.studio.errors import Reason, Refused
from longtake.studio.house import House
from longtake.studio.viewers import Audience, Viewer
from longtake.studio.worker import Making


class Attendance:
    """The audience of one live take, and its timers. stop: ends the take, for a reason.

    A video that is made as a job has an audience too, and no timers.
    """

    def __init__(self, house: House, making: Making, stop: Callable[[str], None], *, is_live: bool) -> None:
        self._house, self._making, self._stop = house, making, stop
        self._has_timers = is_live
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.audience = Audience()

    def __len__(self) -> int:
        return len(self.audience)

    def open(self) -> None:
        """The take is there: its time begins."""
        if self._has_timers:
            self._set_timer("lifetime", self._house.limits.lifetime_seconds)
            self._mind()

    def close(self) -> None:
        """The take is over: nothing more comes for anybody."""
        self._has_timers = False
        for timer in self._timers.values():
            timer.cancel()
        self.audience.close()

    def join(self) -> Viewer:
        """A new viewer, which takes media once it has caught up. Raises Refused when there are too many."""
        limits = self._house.limits
        if len(self) >= limits.viewers_a_take:
            raise Refused(Reason.FULL, "as many watch this take as may; try again later", retry_after=10)
        viewer = Viewer(limits.viewer_chunks)
        self.audience.join(viewer)
        self._house.metrics.viewers.inc()
        self._mind()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A viewer goes."""
        self.audience.leave(viewer)
        self._house.metrics.viewers.dec()
        self._house.metrics.skipped.inc(viewer.skipped)
        self._mind()

    def _mind(self) -> None:
        """Hold while nobody watches, and let the take rest after a while."""
        if not self._has_timers:
            return
        if len(self):
            if (timer := self._timers.pop("idle", None)) is not None:
                timer.cancel()
            self._making.go("unwatched")
        elif "idle" not in self._timers:
            self._making.hold("unwatched")
            self._set_timer("idle", self._house.limits.idle_seconds)

    def _set_timer(self, reason: str, seconds: float) -> None:
        self._timers[reason] = asyncio.get_running_loop().call_later(seconds, self._stop, reason)
