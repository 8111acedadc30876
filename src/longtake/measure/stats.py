"""Shares with the interval they are known to, and other small statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ClipShare",
    "Share",
    "mean_interval",
    "percentile",
    "resampled_means",
    "share_by_clip",
    "share_of",
]

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """So many of so many, with the Wilson score interval.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """

    hits: int
    """How many."""
    total: int
    """Of how many."""
    note: ClassVar[str] = ""
    """Nothing to say of the interval."""

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval; None of nothing."""
        if not self.total:
            return None
        share, z2n = self.hits / self.total, Z95**2 / self.total
        middle = (share + z2n / 2) / (1 + z2n)
        half = Z95 / (1 + z2n) * math.sqrt(share * (1 - share) / self.total + z2n / (4 * self.total))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipShare:
    """So many of so many in clips that have several each, which do not go right or wrong independently.

    The interval is the bootstrap's over clips. Where all clips are right, or all wrong, it has no spread to show; then
    it is Wilson's of as many answers as there are clips.
    """

    hits: tuple[int, ...]
    """How many, of each clip."""
    totals: tuple[int, ...]
    """Of how many, of each clip."""

    @property
    def total(self) -> int:
        """Of how many in all clips together."""
        return sum(self.totals)

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return sum(self.hits) / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval; None of nothing."""
        pairs = np.array([self.hits, self.totals])[:, np.array(self.totals, dtype=int) > 0]
        if sum(self.hits) in (0, self.total):
            clips = pairs.shape[1]
            return Share(hits=clips if sum(self.hits) else 0, total=clips).interval
        low, high = np.percentile(np.divide(*resampled_means(pairs)), [2.5, 97.5])
        return float(low), float(high)

    @property
    def note(self) -> str:
        """What the interval is over."""
        return f"of {sum(total > 0 for total in self.totals)} clips, interval by the bootstrap over them"


def share_by_clip(outcomes: Sequence[Sequence[bool]]) -> Share | ClipShare:
    """Share of the true ones over clips with any number each; a plain one where none has several."""
    if all(len(each) <= 1 for each in outcomes):
        return share_of([hit for each in outcomes for hit in each])
    return ClipShare(hits=tuple(map(sum, outcomes)), totals=tuple(map(len, outcomes)))


def share_of(outcomes: Sequence[bool]) -> Share:
    """Share of the true ones."""
    return Share(hits=sum(map(bool, outcomes)), total=len(outcomes))


def percentile(values: Sequence[float], percent: float) -> float:
    """Percentile with linear interpolation."""
    return float(np.percentile(np.asarray(values, dtype=np.float64), percent))


def mean_interval(values: Sequence[float], draws: int = 2000) -> tuple[float, float, float] | None:
    """Mean and its 95 % interval by the bootstrap (percentiles of resampled means); None of nothing."""
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    low, high = np.percentile(resampled_means(array, draws), [2.5, 97.5])
    return float(array.mean()), float(low), float(high)


def resampled_means(values: NDArray[Any], draws: int = 2000) -> NDArray[np.float64]:
    """Means over the last axis of resampled values `[…, N]`, the same every time: `[…, draws]`."""
    count = values.shape[-1]
    rng = np.random.Generator(np.random.Philox(key=count))
    means: NDArray[np.float64] = values[..., rng.integers(0, count, (draws, count))].mean(-1)
    return means
