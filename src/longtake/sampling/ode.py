"""Steps along the probability-flow ODE: the plain sampler of a flow-matching model.

Euler's steps, or (order 2) Adams and Bashforth's, which extrapolate the velocity from the step before at no further
evaluation of the network; with few steps they come much closer to the curve.
"""

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
    """`x ← x + h·v` with `h = σ_next − σ`, from σ = 1 to σ = 0; of order 2 `x ← x + h·(v + h/(2·h')·(v − v'))`."""

    num_inference_steps: int
    """Network evaluations a block."""
    shift: float
    """Shift of the schedule; belongs to the checkpoint."""
    order: int = 1
    """1: Euler. 2: the step before counts too; the first step, which has none, is Euler's."""
    first_num_inference_steps: int | None = None
    """Those of the block at the beginning of the take, where it has a number of its own."""

    def __post_init__(self) -> None:
        for count in (self.num_inference_steps, self.first_num_inference_steps):
            if count is not None and count < 1:
                raise UserError(f"num_inference_steps {count} must be at least 1")
        if self.order not in (1, 2):
            raise UserError(f"order {self.order} of the ODE's steps is not known; use 1 or 2")

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
        count = self.num_inference_steps if frames[0] else self.first_num_inference_steps
        sigmas = given.graded(FlowSchedule(self.shift).uniform(count or self.num_inference_steps))
        before: tuple[Tensor, float] | None = None
        for step, (sigma, following) in enumerate(pairwise(sigmas)):
            velocity = denoise(x, given.timestep(1000 * sigma, len(frames), x.device)).float()
            length, slope = following - sigma, velocity
            if self.order == 2 and before is not None:
                earlier, past = before
                slope = velocity + length / (2 * past) * (velocity - earlier)
            before = velocity, length
            x = given.hold(x + length * slope)
            x = given.hold(on_step(step, 1000 * sigma, x)) if on_step else x
        return x
