"""Which take makes its next chunk: fair shares, chunk by chunk. Pure logic."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """A take that wants to go on."""

    @property
    def is_live(self) -> bool:
        """Whether somebody watches it being made; such takes come first."""
        ...

    @property
    def spent(self) -> float:
        """Seconds of the machine that it has had."""
        ...

    def wait(self) -> float:
        """Seconds until its next chunk may be made; 0 now, infinite until something changes."""
        ...


C = TypeVar("C", bound=Candidate)


def choose(candidates: Iterable[C]) -> tuple[C | None, float]:
    """The take whose turn it is, or none and the seconds to wait.

    Among those that may go on live takes come first, and then the one that has had least of the machine.
    """
    best: C | None = None
    soonest = math.inf
    for candidate in candidates:
        wait = candidate.wait()
        if wait > 0:
            soonest = min(soonest, wait)
        elif best is None or _rank(candidate) < _rank(best):
            best = candidate
    return best, 0.0 if best is not None else soonest


def _rank(candidate: Candidate) -> tuple[bool, float]:
    return not candidate.is_live, candidate.spent
