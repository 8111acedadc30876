"""Noise levels of distillation: the student's step list, and the timestep at which scores are compared.

Shapes: B samples, C channels, F latent frames, h w latent cells; σ and timesteps are `[B, F]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from longtake.models.steps import FewStepSpec, OdeSpec
from longtake.sampling.few_step import FewStep
from longtake.sampling.ode import FlowODE
from longtake.sampling.schedule import NUM_TRAIN_TIMESTEPS, FlowSchedule

__all__ = [
    "StepLevels",
    "block_index",
    "clean_of",
    "few_step",
    "flow_ode",
    "gather_states",
    "score_timesteps",
]


def few_step(spec: FewStepSpec) -> FewStep:
    """The sampler of a step list."""
    return FewStep(steps=spec.steps, shift=spec.shift, warp=spec.warp, first_steps=spec.first_steps)


def flow_ode(spec: OdeSpec) -> FlowODE:
    """The sampler of a many-step model."""
    return FlowODE(**spec.model_dump(exclude={"kind"}))


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLevels:
    """The student's timesteps and their σ, noisiest first, and last the clean one: timestep 0."""

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]
    """Of the schedule's nearest entry, so that σ of timestep 0 is a little more than 0, as published."""

    @classmethod
    def of(cls, spec: FewStepSpec) -> StepLevels:
        """The levels of a step list. A published trailing 0 is the clean entry, not a step."""
        schedule = FlowSchedule(spec.shift)
        steps = [timestep for timestep in few_step(spec).timesteps if timestep > 0]
        timesteps = (*steps, 0.0)
        return cls(timesteps=timesteps, sigmas=tuple(schedule.sigma(t) for t in timesteps))

    @property
    def steps(self) -> int:
        """Steps without the clean entry."""
        return len(self.timesteps) - 1

    def at(self, index: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Timesteps and σ of indices into the list, float32."""
        timesteps, sigmas = np.array(self.timesteps), np.array(self.sigmas)
        return (
            torch.from_numpy(timesteps[index]).to(device, torch.float32),
            torch.from_numpy(sigmas[index]).to(device, torch.float32),
        )


def block_index(rng: np.random.Generator, choices: int, count: int, frames: int, block: int) -> np.ndarray:
    """`[count, frames]`, one of `choices` drawn for each block and the same in all its frames."""
    drawn = rng.integers(choices, size=(count, -(-frames // block)))
    return np.repeat(drawn, block, axis=1)[:, :frames]


def clean_of(noisy: Tensor, velocity: Tensor, sigma_BF: Tensor) -> Tensor:
    """`x0 = x_t − σ·v`, computed in float64."""
    sigma = sigma_BF.double()[:, None, :, None, None]
    return (noisy.double() - sigma * velocity.double()).float()


def score_timesteps(
    rng: np.random.Generator, count: int, shift: float, lowest: float, highest: float
) -> list[float]:
    """One timestep a sample: a whole number below 1000, shifted, then held between `lowest` and `highest`."""
    schedule = FlowSchedule(shift)
    drawn: Sequence[int] = rng.integers(NUM_TRAIN_TIMESTEPS, size=count).tolist()
    return [min(max(schedule.warp(step), lowest), highest) for step in drawn]


def gather_states(states: Tensor, index_BF: Tensor) -> Tensor:
    """Of `states [B, K + 1, C, F, h, w]` for each frame the one at its index: `[B, C, F, h, w]`."""
    row = torch.arange(len(states), device=states.device)[:, None]
    frame = torch.arange(states.shape[3], device=states.device)
    return states[row, index_BF, :, frame].transpose(1, 2)
