"""Few-step sampling of a distilled model: predict the clean latents, add fresh noise of the next level, repeat.

The stochastic consistency sampler of CausVid (arXiv 2412.07772) and Self-Forcing (arXiv 2506.08009): every step draws
*new* noise; it is not an ODE step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.sampling import Denoise, OnStep
from longtake.sampling.noise import NoiseSource, Purpose
from longtake.sampling.schedule import NUM_TRAIN_TIMESTEPS, FlowSchedule


@dataclass(frozen=True, kw_only=True, slots=True)
class FewStep:
    """Denoise at the timesteps of a fixed list, which belongs to the checkpoint."""

    steps: tuple[float, ...]
    """Step list as published, noisiest first, e.g. (1000, 750, 500, 250)."""
    shift: float
    """Shift of the schedule."""
    warp: bool
    """True when `steps` are nominal and must be moved onto the shifted schedule."""

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not falling or not 0 < self.steps[-1] <= self.steps[0] <= NUM_TRAIN_TIMESTEPS:
            raise UserError(f"step list {list(self.steps)} must fall from at most 1000 to more than 0")

    @property
    def timesteps(self) -> list[float]:
        """What the network is fed."""
        return [FlowSchedule(self.shift).warp(step) if self.warp else step for step in self.steps]

    def advance(
        self,
        denoise: Denoise,
        noise: NoiseSource,
        frames: Sequence[int],
        shape: tuple[int, int, int],
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Sampler.advance`."""
        schedule = FlowSchedule(self.shift)
        x = noise(Purpose.INITIAL, frames, 0, shape)
        for step, timestep in enumerate(self.timesteps):
            sigma = schedule.sigma(timestep)
            if step:
                x = (1 - sigma) * x + sigma * noise(Purpose.RENOISE, frames, step, shape)
            velocity = denoise(x, torch.full((1, len(frames)), timestep))
            x = (x.double() - sigma * velocity.double()).float()
            x = on_step(step, timestep, x) if on_step else x
        return x
