"""Few-step sampling of a distilled model: predict the clean latents, add fresh noise of the next level, repeat.

The stochastic consistency sampler of CausVid (arXiv 2412.07772) and Self-Forcing (arXiv 2506.08009): every step draws
*new* noise; it is not an ODE step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from longtake.errors import UserError
from longtake.sampling import Denoise, OnStep
from longtake.sampling.given import NOTHING, Given
from longtake.sampling.noise import Draw, NoiseSource, Purpose, together
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

    first_steps: tuple[float, ...] = ()
    """Step list of the block at the beginning of the take, where it has one of its own (Causal-Forcing++)."""

    def __post_init__(self) -> None:
        for steps in (self.steps, self.first_steps or self.steps):
            falling = all(a > b for a, b in pairwise(steps))
            if not steps or not falling or not 0 <= steps[-1] <= steps[0] <= NUM_TRAIN_TIMESTEPS:
                raise UserError(f"step list {list(steps)} must fall from at most 1000 to 0 at the lowest")

    @property
    def timesteps(self) -> list[float]:
        """What the network is fed."""
        return self._warped(self.steps)

    def advance(
        self,
        denoise: Denoise,
        noise: NoiseSource,
        frames: Sequence[int],
        shape: tuple[int, int, int],
        on_step: OnStep | None = None,
        given: Given = NOTHING,
    ) -> Tensor:
        """See `Sampler.advance`."""
        schedule = FlowSchedule(self.shift)
        steps = self.first_steps if self.first_steps and frames[0] == 0 else self.steps
        if given.known == len(frames):
            return given.hold(noise(Purpose.INITIAL, frames, 0, shape))
        timesteps = given.listed(self._warped(steps))
        again = [Draw(Purpose.RENOISE, frames, step) for step in range(1, len(timesteps))]
        first, *fresh = together(noise, [Draw(Purpose.INITIAL, frames, 0), *again], shape)
        x = given.start(first)
        for step, timestep in enumerate(timesteps):
            sigma = schedule.sigma(timestep)
            if step:
                x = given.hold((1 - sigma) * x + sigma * fresh[step - 1])
            velocity = denoise(x, given.timestep(timestep, len(frames), x.device))
            x = given.hold((x.double() - sigma * velocity.double()).float())
            x = given.hold(on_step(step, timestep, x)) if on_step else x
        return x

    def _warped(self, steps: Sequence[float]) -> list[float]:
        return [FlowSchedule(self.shift).warp(step) if self.warp else step for step in steps]
