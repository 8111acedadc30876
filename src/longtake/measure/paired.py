"""Figures of the same prompts and seeds through several models or methods: means, and differences pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longtake.measure.results import Figure
from longtake.measure.stats import mean_interval

__all__ = ["beside", "quotient"]


def beside(
    name: str, own: Sequence[float | None], base: Sequence[float | None], unit: str = "", note: str = ""
) -> Figure:
    """The mean of `own` with its interval; in brackets the mean difference to `base`, pair by pair, with its own."""
    known = [value for value in own if value is not None]
    pairs = [a - b for a, b in zip(own, base, strict=True) if a is not None and b is not None]
    if (mean := mean_interval(known)) is None:
        return Figure(name=name, value=None, count=0, note="applies to none of the takes")
    if own is not base and any(pairs) and (gap := mean_interval(pairs)) is not None:
        note = f"{note} ({gap[0]:+.3g}, {gap[1]:+.3g} to {gap[2]:+.3g})".lstrip()
    return Figure(name=name, value=mean[0], unit=unit, interval=mean[1:], count=len(known), note=note)


def quotient(
    over: Sequence[float], under: Sequence[float], draws: int = 2000
) -> tuple[float, float, float] | None:
    """Mean of `over` by mean of `under`, and its 95 % interval by the bootstrap over pairs; None by nothing.

    Resamples whose `under` is all 0 are left out.
    """
    pairs = np.asarray([over, under], dtype=np.float64)
    if not pairs.size or pairs[1].mean() == 0:
        return None
    count = pairs.shape[1]
    rng = np.random.Generator(np.random.Philox(key=count))
    means = pairs[:, rng.integers(0, count, (draws, count))].mean(2)
    some = means[0, means[1] > 0] / means[1, means[1] > 0]
    low, high = np.percentile(some, [2.5, 97.5])
    return float(pairs[0].mean() / pairs[1].mean()), float(low), float(high)
