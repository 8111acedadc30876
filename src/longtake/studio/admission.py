"""Who may begin a take now: the share of a token (429) and the room of the machine (503), both with a time to retry.

Pure logic with a clock that is passed in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from longtake.studio.config import Limits
from longtake.studio.errors import Reason, Refused

RETRY_SECONDS = 10.0
"""When to come again where nobody can know: somebody's take has to end first."""


@dataclass(kw_only=True, slots=True)
class Allowance:
    """So many units in `period` seconds, filled again evenly."""

    most: float
    """Units when full."""
    period: float
    """Seconds from empty to full."""
    left: float
    """Units now; below 0 when more was spent than was there."""
    since: float
    """When `left` was reckoned."""

    def refill(self, now: float) -> None:
        """Add what time has brought."""
        self.left = min(self.most, self.left + (now - self.since) * self.most / self.period)
        self.since = now

    def seconds_until(self, units: float) -> float:
        """Seconds until so many units are there; 0 when they are."""
        return max(0.0, (units - self.left) * self.period / self.most)


@dataclass(kw_only=True, slots=True)
class _Account:
    starts: Allowance
    compute: Allowance
    takes: int = 0


@dataclass(kw_only=True, slots=True)
class Lease:
    """A place that was given; given back once, however often it is released."""

    _give_back: Callable[[], None]
    _is_held: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def release(self) -> None:
        """Give the place back. Only the first call does anything."""
        with self._lock:
            held, self._is_held = self._is_held, False
        if held:
            self._give_back()


class Admission:
    """The places of one server.

    who: a name for the token, never the token itself. clock: seconds, rising.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], *, takes: int = 1) -> None:
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self.takes = limits.max_takes or takes
        self.running = 0
        self.queued = 0

    def measured(self, takes: int) -> None:
        """The machine makes so many takes in real time; counts unless the operator said how many."""
        if self._limits.max_takes is None:
            self.takes = max(1, takes)

    def admit_take(self, who: str) -> Lease:
        """A place for a live take. Raises Refused (429, 503)."""
        with self._lock:
            account = self._account(who)
            self._check(account)
            share = self._limits.takes_a_token
            if share is not None and account.takes >= share:
                raise Refused(
                    Reason.OVER_BUDGET,
                    f"{account.takes} live takes are open with this token, which is its share; stop one",
                    retry_after=RETRY_SECONDS,
                )
            if self.running >= self.takes:
                raise Refused(
                    Reason.FULL,
                    f"{self.running} takes are being made, which is all that this machine makes in real time; "
                    "try again soon, or make a video instead",
                    retry_after=RETRY_SECONDS,
                )
            account.starts.left -= 1
            account.takes += 1
            self.running += 1
        return Lease(_give_back=lambda: self._leave(account))

    def admit_video(self, who: str) -> Lease:
        """A place in the queue of videos. Raises Refused (429, 503)."""
        with self._lock:
            account = self._account(who)
            self._check(account)
            if self.queued >= self._limits.queued_videos:
                raise Refused(
                    Reason.FULL,
                    f"{self.queued} videos wait already; try again later",
                    retry_after=RETRY_SECONDS,
                )
            account.starts.left -= 1
            self.queued += 1
        return Lease(_give_back=self._leave_queue)

    def spend(self, who: str, seconds: float) -> None:
        """Book seconds of generation."""
        with self._lock:
            self._account(who).compute.left -= seconds

    def _account(self, who: str) -> _Account:
        now, limits = self._clock(), self._limits
        if who not in self._accounts:
            starts, compute = limits.starts_a_minute, limits.compute_seconds_an_hour
            self._accounts[who] = _Account(
                starts=Allowance(most=starts, period=60, left=starts, since=now),
                compute=Allowance(most=compute, period=3600, left=compute, since=now),
            )
        account = self._accounts[who]
        account.starts.refill(now)
        account.compute.refill(now)
        return account

    def _check(self, account: _Account) -> None:
        if account.starts.left < 1:
            raise Refused(
                Reason.OVER_BUDGET,
                f"more than {self._limits.starts_a_minute} takes and videos were begun in a minute; wait a little",
                retry_after=account.starts.seconds_until(1),
            )
        if account.compute.left <= 0:
            raise Refused(
                Reason.OVER_BUDGET,
                "this token has used up its time of generation; it comes back by the hour",
                retry_after=account.compute.seconds_until(self._limits.compute_seconds_an_hour / 60),
            )

    def _leave(self, account: _Account) -> None:
        with self._lock:
            account.takes -= 1
            self.running -= 1

    def _leave_queue(self) -> None:
        with self._lock:
            self.queued -= 1
