"""What methods with several blocks in flight share: which block is at which step in which pass.

Blocks enter one after the other at the noisy end, and every pass takes each of them one step further. So in a pass
whose front block is at step `s`, the block `i` places behind it is at step `s − i`. The first blocks ramp in; when the
length of the take is known, the last ones ramp out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from longtake.methods import Plan
from longtake.sampling.few_step import FewStep
from longtake.sampling.noise import NoiseSource, Purpose
from longtake.sampling.schedule import FlowSchedule


class Pass(NamedTuple):
    """One evaluation of the network."""

    step: int
    """Step of the front block."""
    blocks: int
    """Blocks in it."""

    @property
    def steps(self) -> range:
        """Step of each block, front to back."""
        return range(self.step, self.step - self.blocks, -1)


def plan_turn(position: int, total: int | None, block: int, steps: int) -> Plan:
    """All that is in flight with the front block at `position`, which becomes final."""
    blocks = steps if total is None else min(steps, -(-(total - position) // block))
    front = range(position, position + block)
    return Plan(denoise=range(position, position + blocks * block), final=front)


def passes(steps: int, blocks: int, *, is_flying: bool) -> Iterator[Pass]:
    """The passes of one turn: one, or when nothing is in flight yet as many as there are steps."""
    for step in range(steps - 1 if is_flying else 0, steps):
        yield Pass(step, min(step + 1, blocks))


def renoise(clean: Tensor, step: int, sampler: FewStep, noise: NoiseSource, frames: range) -> Tensor:
    """Clean latents `[1, C, T, H, W]` of one block at the noise level of `step`, with fresh noise."""
    sigma = FlowSchedule(sampler.shift).sigma(sampler.timesteps[step])
    shape = (clean.shape[1], clean.shape[3], clean.shape[4])
    return (1 - sigma) * clean + sigma * noise(Purpose.RENOISE, frames, step, shape)


def to_clean(noisy: Tensor, velocity: Tensor, sigmas: Tensor) -> Tensor:
    """`x0 = x − σ·v` in float64; `sigmas` is broadcast to the latents."""
    return (noisy.double() - sigmas.double() * velocity.double()).float()


def sigma_of(sampler: FewStep, timesteps: Tensor) -> Tensor:
    """σ of each timestep, by the table of the schedule."""
    schedule = FlowSchedule(sampler.shift)
    levels = [schedule.sigma(float(timestep)) for timestep in timesteps.flatten()]
    return torch.tensor(levels, dtype=torch.float64).view(timesteps.shape)
