"""What methods with several blocks in flight share: which block is at which step in which pass.

Blocks enter one after the other at the noisy end, and every pass takes each of them one step further. So in a pass
whose front block is at step `s`, the block `i` places behind it is at step `s − i`. The first blocks ramp in; when the
length of the take is known, the last ones ramp out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from longtake.methods import Plan
from longtake.sampling.few_step import FewStep
from longtake.sampling.noise import Draw, NoiseSource, Purpose, together
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


class Going(NamedTuple):
    """A block that goes on after a pass."""

    clean: Tensor
    """`[1, C, T, H, W]`, what the pass saw in it."""
    step: int
    """Its next step."""
    frames: range
    """Which latent frames it is."""


def renoise(blocks: Sequence[Going], sampler: FewStep, noise: NoiseSource) -> list[Tensor]:
    """Blocks `[1, C, T, H, W]`, each at the noise level of its next step, with fresh noise."""
    if not blocks:
        return []
    _, channels, _, height, width = blocks[0].clean.shape
    draws = [Draw(Purpose.RENOISE, block.frames, block.step) for block in blocks]
    made, schedule = [], FlowSchedule(sampler.shift)
    for block, fresh in zip(blocks, together(noise, draws, (channels, height, width)), strict=True):
        sigma = schedule.sigma(sampler.timesteps[block.step])
        made.append((1 - sigma) * block.clean + sigma * fresh)
    return made


def to_clean(noisy: Tensor, velocity: Tensor, sigmas: Tensor) -> Tensor:
    """`x0 = x − σ·v` in float64; `sigmas` is broadcast to the latents."""
    return (noisy.double() - sigmas.double().to(noisy.device) * velocity.double()).float()


def sigma_of(sampler: FewStep, timesteps: Tensor) -> Tensor:
    """σ of each timestep, by the table of the schedule."""
    schedule = FlowSchedule(sampler.shift)
    levels = [schedule.sigma(float(timestep)) for timestep in timesteps.flatten()]
    return torch.tensor(levels, dtype=torch.float64).view(timesteps.shape)
