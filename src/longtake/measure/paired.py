"""Figures of the same prompts and seeds through several models or methods: means, and differences pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longtake.measure.results import Figure
from longtake.measure.stats import mean_interval, resampled_means

__all__ = ["beside", "quotient"]


def beside(name: str, own: Sequence[float | None], base: Sequence[float | None], unit: str = "") -> Figure:
    """The mean of `own` with its interval; in brackets the mean difference to `base`, pair by pair, with its own."""
    pairs = [a - b for a, b in zip(own, base, strict=True) if a is not None and b is not None]
    note = ""
    if own is not base and any(pairs) and (gap := mean_interval(pairs)) is not None:
        note = f"({gap[0]:+.3g}, {gap[1]:+.3g} to {gap[2]:+.3g})"
    return Figure.mean(name, own, unit, note)


def quotient(
    over: Sequence[float], under: Sequence[float], draws: int = 2000
) -> tuple[float, float, float] | None:
    """Mean of `over` by mean of `under`, and its 95 % interval by the bootstrap over pairs; None by nothing.

    Resamples whose `under` is all 0 are left out.
    """
    pairs = np.asarray([over, under], dtype=np.float64)
    if not pairs.size or pairs[1].mean() == 0:
        return None
    means = resampled_means(pairs, draws)
    some = means[0, means[1] > 0] / means[1, means[1] > 0]
    low, high = np.percentile(some, [2.5, 97.5])
    return float(pairs[0].mean() / pairs[1].mean()), float(low), float(high)
