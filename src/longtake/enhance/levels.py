"""Noise levels: `x_t = α·x0 + σ·noise`, from where SDEdit begins down to a clean picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.sampling.given import check_strength
from longtake.sampling.schedule import NUM_TRAIN_TIMESTEPS, shift_sigma


class Level(NamedTuple):
    """One noise level."""

    timestep: float
    """What the network is fed."""
    alpha: float
    """Share of the clean latents."""
    sigma: float
    """Share of the noise."""


CLEAN = Level(timestep=0.0, alpha=1.0, sigma=0.0)


def check_steps(steps: int) -> None:
    """Refuse what is no number of steps (UserError)."""
    if steps < 1:
        raise UserError(f"steps {steps} given; use 1 or more")


def flow_levels(strength: float, steps: int, shift: float = 1.0) -> list[Level]:
    """Flow matching, α = 1 − σ: `steps + 1` levels from σ = strength to 0, even before the shift."""
    check_strength(strength)
    check_steps(steps)
    if not shift > 0:
        raise UserError(f"shift {shift} must be greater than 0")
    first = shift_sigma(torch.tensor(strength, dtype=torch.float64), 1 / shift)
    sigmas = shift_sigma(torch.linspace(1, 0, steps + 1, dtype=torch.float64) * first, shift).tolist()
    return [Level(NUM_TRAIN_TIMESTEPS * sigma, 1 - sigma, sigma) for sigma in sigmas[:-1]] + [CLEAN]


def scaled_linear_alphas(start: float = 0.00085, end: float = 0.012) -> Tensor:
    """ᾱ of every training timestep of Stable Diffusion's schedule, which ModelScope's and zeroscope's is too."""
    betas = torch.linspace(start**0.5, end**0.5, NUM_TRAIN_TIMESTEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def table_levels(alphas_bar: Tensor, strength: float, steps: int) -> list[Level]:
    """Levels of a table ᾱ `[T]` (α² = ᾱ, σ² = 1 − ᾱ): timesteps evenly from `strength·T − 1` down ("trailing")."""
    check_strength(strength)
    check_steps(steps)
    first = strength * len(alphas_bar)
    if first < steps:
        raise UserError(
            f"strength {strength:g} leaves {int(first)} timesteps for {steps} steps; use fewer steps"
        )
    times = [round(first * (steps - step) / steps) - 1 for step in range(steps)]
    return [_level(time, float(alphas_bar[time])) for time in times] + [CLEAN]


def _level(timestep: float, alpha_bar: float) -> Level:
    return Level(timestep, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)


def check_levels(levels: Sequence[Level]) -> None:
    """Noise levels fall and end with a clean picture; assertions, as levels are made here."""
    assert len(levels) > 1
    assert levels[-1] == CLEAN
    assert all(a.sigma > b.sigma for a, b in pairwise(levels))
