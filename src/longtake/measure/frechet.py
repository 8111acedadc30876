"""Proxy-FVD: a Fréchet distance between two sets of clips, on features of the toybox reader. Lower is better; sets of
equal mean and covariance have 0.

FVD (Unterthiner et al., arXiv 1812.01717) is the same distance on features of I3D, a network trained on real videos,
which is not carried here and says little of toybox. This one is *not* FVD, is never compared with published figures,
and is always named proxy-FVD. The reader has never seen what a generator makes, and takes no part in training one.

Features of a clip, mean over its windows: what the finder makes of the whole picture, mean and spread over time (what
is there, on what ground), and the course of the picture's movement. Each is divided by its spread over the reference
clips, so that none outweighs the others for its unit. d = |m₁ − m₂|² + tr(C₁ + C₂ − 2·(C₁C₂)^½).

Limits: the distance of finite sets is biased upward, the more so the smaller they are, so compare figures of equally
many clips only. It knows what the reader looks at, and nothing of fine texture. Intervals are bootstraps over clips.

Shapes: N clips, T frames, H W pixels, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.errors import UserError

__all__ = ["NAME", "Distance", "distances", "frechet", "ratio"]

NAME = "proxy-FVD"
"""How its figures are always named."""
LEAST = 4
"""Clips of a set, at least."""
DRAWS = 200
Features = NDArray[np.float64]
"""`[N, D]`, one row a clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """A figure with its 95 % interval."""

    value: float
    """The figure."""
    interval: tuple[float, float]
    """Percentiles of the bootstrap; of a distance it lies too high, for resampled sets have fewer different clips."""
    clips: int
    """Clips of each set."""


def frechet(one: Features, other: Features) -> float:
    """The distance of two sets of features `[N, D]` and `[M, D]`."""
    gap = one.mean(0) - other.mean(0)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = _root(np.atleast_2d(first))
    inner = np.linalg.eigvalsh(root @ np.atleast_2d(second) @ root)
    shared = np.sqrt(np.clip(inner, 0, None)).sum()
    return float(
        max(0.0, gap @ gap + np.trace(np.atleast_2d(first)) + np.trace(np.atleast_2d(second)) - 2 * shared)
    )


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def distances(reference: Features, made: Features, *, draws: int = DRAWS) -> Distance:
    """Proxy-FVD of generated clips against true ones, as many of each."""
    reference, (made,) = scaled(reference, made)
    return Distance(
        value=frechet(reference, made),
        interval=_bootstrap(len(made), draws, lambda rows: frechet(reference[rows], made[rows])),
        clips=len(made),
    )


def ratio(reference: Features, one: Features, other: Features, *, draws: int = DRAWS) -> Distance:
    """Proxy-FVD of `one` over that of `other` (a student over its teacher), clips paired by prompt and seed."""
    reference, (one, other) = scaled(reference, one, other)

    def quotient(rows: NDArray[np.int64]) -> float:
        return frechet(reference[rows], one[rows]) / max(frechet(reference[rows], other[rows]), 1e-12)

    every = np.arange(len(reference))
    return Distance(value=quotient(every), interval=_bootstrap(len(every), draws, quotient), clips=len(every))


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


def _bootstrap(clips: int, draws: int, figure: Callable[[NDArray[np.int64]], float]) -> tuple[float, float]:
    rng = np.random.Generator(np.random.Philox(key=clips))
    values = [figure(rng.integers(0, clips, clips)) for _ in range(draws)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
