"""The flow-matching noise schedule: `x_t = (1−σ)·x0 + σ·noise`, timesteps are 1000·σ.

The table and its nearest-entry lookup are those of the Wan family's published samplers, so that a checkpoint's step
list means here what it meant in training. Shift: `σ' = shift·σ / (1 + (shift−1)·σ)` (Esser et al., arXiv 2403.03206).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from longtake.errors import UserError

NUM_TRAIN_TIMESTEPS = 1000


def shift_sigma(sigma: Tensor, shift: float) -> Tensor:
    """Move noise levels towards 1 (shift > 1) or 0 (shift < 1); 0 and 1 stay."""
    return shift * sigma / (1 + (shift - 1) * sigma)


@dataclass(frozen=True)
class FlowSchedule:
    """σ of every timestep for one shift."""

    shift: float

    def __post_init__(self) -> None:
        if not self.shift > 0:
            raise UserError(f"shift {self.shift} must be greater than 0")

    @cached_property
    def sigmas(self) -> Tensor:
        """The table: 1000 shifted levels from 1 downwards, float64; 0 itself is not in it."""
        linear = 1 - torch.arange(NUM_TRAIN_TIMESTEPS, dtype=torch.float64) / NUM_TRAIN_TIMESTEPS
        return shift_sigma(linear, self.shift)

    def sigma(self, timestep: float) -> float:
        """σ of the table entry nearest to `timestep`. At 0 that is a little more than 0, as published."""
        nearest = (self.sigmas * NUM_TRAIN_TIMESTEPS - timestep).abs().argmin()
        return float(self.sigmas[nearest])

    def warp(self, step: float) -> float:
        """Timestep of the nominal step (1000, 750, …) on the shifted schedule; 0 stays 0."""
        return (
            float(shift_sigma(torch.tensor(step / NUM_TRAIN_TIMESTEPS, dtype=torch.float64), self.shift))
            * 1000
        )

    def uniform(self, steps: int) -> list[float]:
        """`steps + 1` values of σ from 1 to 0, evenly spaced before the shift."""
        linear = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        return [float(sigma) for sigma in shift_sigma(linear, self.shift)]
