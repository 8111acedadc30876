"""Shares with the interval they are known to, and other small statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Share", "mean_interval", "percentile", "share_of"]

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
    rng = np.random.Generator(np.random.Philox(key=len(array)))
    means = array[rng.integers(0, len(array), (draws, len(array)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(array.mean()), float(low), float(high)
