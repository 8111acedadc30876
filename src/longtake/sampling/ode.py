"""Euler steps along the probability-flow ODE: the plain sampler of a flow-matching model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from longtake.errors import UserError
from longtake.sampling import Denoise, OnStep
from longtake.sampling.given import NOTHING, Given
from longtake.sampling.noise import NoiseSource, Purpose
from longtake.sampling.schedule import FlowSchedule


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowODE:
    """`x ← x + (σ_next − σ)·v` from σ = 1 to σ = 0."""

    num_inference_steps: int
    """Network evaluations a block."""
    shift: float
    """Shift of the schedule; belongs to the checkpoint."""

    def __post_init__(self) -> None:
        if self.num_inference_steps < 1:
            raise UserError(f"num_inference_steps {self.num_inference_steps} must be at least 1")

    def advance(
        self,
        denoise: Denoise,
        noise: NoiseSource,
        frames: Sequence[int],
        shape: tuple[int, int, int],
        on_step: OnStep | None = None,
        given: Given = NOTHING,
    ) -> Tensor:
        """See `Sampler.advance`. From a source, the first step is taken at `given.strength` itself."""
        x = given.start(noise(Purpose.INITIAL, frames, 0, shape))
        if given.known == len(frames):
            return x
        sigmas = given.graded(FlowSchedule(self.shift).uniform(self.num_inference_steps))
        for step, (sigma, following) in enumerate(pairwise(sigmas)):
            velocity = denoise(x, given.timestep(1000 * sigma, len(frames), x.device))
            x = given.hold(x + (following - sigma) * velocity.float())
            x = given.hold(on_step(step, 1000 * sigma, x)) if on_step else x
        return x
