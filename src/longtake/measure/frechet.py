"""Proxy-FVD: a Fréchet distance between two sets of clips, on features of the toybox reader. Lower is better; sets of
equal mean and covariance have 0.

FVD (Unterthiner et al., arXiv 1812.01717) is the same distance on features of I3D, a network trained on real videos,
which is not carried here and says little of toybox. This one is *not* FVD, is never compared with published figures,
and is always named proxy-FVD. The reader has never seen what a generator makes, and takes no part in training one.

Features of a clip, mean over its windows: what the finder makes of the whole picture, mean and spread over time (what
is there, on what ground), and the course of the picture's movement. Each is divided by its spread over the reference
clips, so that none outweighs the others for its unit. d = |m₁ − m₂|² + tr(C₁ + C₂ − 2·(C₁C₂)^½).

The distance of finite sets is biased upward by about c/N, which also pulls the ratio of two distances towards 1. So it
is extrapolated to ever more clips, as in "Effectively Unbiased FID" (Chong & Forsyth, arXiv 1911.07023): a line in 1/N
through the distance of all clips and the mean distance of their halves, read at 1/N = 0. Intervals are bootstraps over
clips: resampled sets repeat clips and lie further apart, so the spread of theirs about its mean is put around the
figure.

Limits: the line holds from about four times as many clips as there are features; of fewer it takes off too little of
the bias, so compare figures of equally many clips only. It knows what the reader looks at, and nothing of fine texture.

Shapes: N clips, T frames, H W pixels, D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.errors import UserError
from longtake.measure.results import Figure

__all__ = ["DEFINITION", "NAME", "Distance", "distances", "extrapolated", "frechet", "ratio", "ratio_figure"]

NAME = "proxy-FVD"
"""How its figures are always named."""
DEFINITION = (
    f"{NAME}: a Fréchet distance to the true scenes on the reader's features, extrapolated to ever more clips from "
    "all and from halves of them by a line in 1/N (as in Effectively Unbiased FID, arXiv 1911.07023), which takes off "
    "the bias of finite sets; with intervals by the bootstrap over clips."
)
"""For results that give it."""
LEAST = 4
"""Clips of a set, at least."""
DRAWS = 200
SPLITS = 4
"""Ways of halving the clips that a figure is extrapolated from."""
Features = NDArray[np.float64]
"""`[N, D]`, one row a clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """A figure with its 95 % interval."""

    value: float
    """The figure."""
    interval: tuple[float, float]
    """Percentiles of the bootstrap."""
    clips: int
    """Clips of each set."""


def frechet(one: Features, other: Features) -> float:
    """The distance of two sets of features `[N, D]` and `[M, D]`, its bias included."""
    gap = one.mean(0) - other.mean(0)
    first, second = _root(one), _root(other)
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(max(0.0, gap @ gap + np.square(first).sum() + np.square(second).sum() - 2 * shared))


def _root(rows: Features) -> Features:
    """A with AᵀA the covariance of the rows, no higher than it must be; (C₁C₂)^½ has the singular values of A₁A₂ᵀ."""
    root = (rows - rows.mean(0)) / np.sqrt(len(rows) - 1)
    if len(root) > root.shape[1]:
        root = np.linalg.qr(root).R
    return root


def extrapolated(reference: Features, made: Features, splits: int = SPLITS) -> float:
    """The distance of ever more clips; below 0 where sets of one kind lie nearer by chance."""
    whole, count = frechet(reference, made), len(made)
    rng = np.random.Generator(np.random.Philox(key=count))
    halves = [half for _ in range(splits) for half in np.array_split(rng.permutation(count), 2)]
    half = np.mean([frechet(reference[rows], made[rows]) for rows in halves])
    step = np.mean([1 / len(rows) for rows in halves]) - 1 / count
    return float(whole - (half - whole) / step / count)


def distances(reference: Features, made: Features, *, draws: int = DRAWS) -> Distance:
    """Proxy-FVD of generated clips against true ones, as many of each."""
    reference, (made,) = scaled(reference, made)
    value = extrapolated(reference, made)
    drawn = [extrapolated(reference[rows], made[rows], 1) for rows in _resampled(len(made), draws)]
    low, high = np.percentile(value + np.array(drawn) - np.mean(drawn), [2.5, 97.5])
    interval = max(0.0, float(low)), max(0.0, float(high))
    return Distance(value=max(0.0, value), interval=interval, clips=len(made))


def ratio(reference: Features, one: Features, other: Features, *, draws: int = DRAWS) -> Distance | None:
    """Proxy-FVD of `one` over that of `other` (a student over its teacher), clips paired by prompt and seed.

    None where the clips are too few to tell `other` from the truth: the quotient, or its upper end, has no bound.
    """
    reference, sets = scaled(reference, one, other)
    value = np.array([extrapolated(reference, each) for each in sets])
    drawn = np.array(
        [
            [extrapolated(reference[rows], each[rows], 1) for each in sets]
            for rows in _resampled(len(reference), draws)
        ]
    )
    quotients = [one / other if other > 0 else np.inf for one, other in value + drawn - drawn.mean(0)]
    low, high = np.percentile(quotients, [2.5, 97.5], method="nearest")
    if value[1] <= 0 or not np.isfinite(high):
        return None
    return Distance(
        value=max(0.0, float(value[0] / value[1])),
        interval=(max(0.0, float(low)), max(0.0, float(high))),
        clips=len(reference),
    )


def ratio_figure(name: str, found: Distance | None) -> Figure:
    """What `ratio` found, for a table."""
    if found is None:
        return Figure(
            name=name, value=None, unit="ratio", note="too few clips to tell what it is over from the truth"
        )
    return Figure(name=name, value=found.value, unit="ratio", interval=found.interval, count=found.clips)


def _resampled(clips: int, draws: int) -> list[NDArray[np.int64]]:
    """Rows of resampled sets, the same every time."""
    rng = np.random.Generator(np.random.Philox(key=clips))
    return [rng.integers(0, clips, clips) for _ in range(draws)]


def scaled(reference: Features, *sets: Features) -> tuple[Features, tuple[Features, ...]]:
    """Features in units of their spread over the reference. Raises UserError for sets of different or too few clips."""
    sizes = {len(each) for each in (reference, *sets)}
    if len(sizes) > 1 or min(sizes) < LEAST:
        raise UserError(
            f"{NAME} of sets of {', '.join(map(str, sorted(sizes)))} clips; give equally many, at least {LEAST}"
        )
    spread = reference.std(0)
    unit = np.where(spread > 1e-6 * max(float(spread.max()), 1e-12), spread, np.inf)
    return reference / unit, tuple(each / unit for each in sets)
