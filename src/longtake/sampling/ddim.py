"""DDIM (Song et al., arXiv 2010.02502): the sampler of networks trained on a variance-preserving schedule.

`x_t = √ᾱ·x0 + √(1−ᾱ)·ε`. With η above 0 every step adds noise of its own, which comes from the counter as all noise
does. The schedule, its timesteps and the last step (to the first ᾱ of the table rather than to 1) are those of Stable
Diffusion and ModelScope, as diffusers' `DDIMScheduler` has them: even spacing, offset 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.sampling import Denoise, OnStep
from longtake.sampling.given import NOTHING, Given
from longtake.sampling.noise import NoiseSource, Purpose
from longtake.sampling.schedule import NUM_TRAIN_TIMESTEPS

Prediction = Literal["epsilon", "v"]
MOST_STEPS = NUM_TRAIN_TIMESTEPS // 2
"""More would meet a timestep of the table twice."""


@dataclass(frozen=True, kw_only=True)
class DiffusionSchedule:
    """ᾱ of every timestep: betas even in their square roots ("scaled linear")."""

    beta_start: float = 0.00085
    beta_end: float = 0.012

    @cached_property
    def alphas(self) -> Tensor:
        """`[1000]`, float64, falling."""
        roots = torch.linspace(
            self.beta_start**0.5, self.beta_end**0.5, NUM_TRAIN_TIMESTEPS, dtype=torch.float64
        )
        return (1 - roots**2).cumprod(0)

    def timesteps(self, steps: int) -> list[int]:
        """Timesteps of so many steps, noisiest first: 981, 961, … 1 for 50."""
        return [index * NUM_TRAIN_TIMESTEPS // steps + 1 for index in reversed(range(steps))]


@dataclass(frozen=True, kw_only=True)
class Ddim:
    """See the module's text. What it calls `denoise` gives the network's prediction, not a velocity."""

    num_inference_steps: int
    """Network evaluations a clip."""
    eta: float = 0.0
    """Noise of a step, as a share of what the reverse process would add; 1 is ancestral sampling."""
    prediction: Prediction = "epsilon"
    """What the network predicts: the noise, or `v = √ᾱ·ε − √(1−ᾱ)·x0`."""
    schedule: DiffusionSchedule = DiffusionSchedule()

    def __post_init__(self) -> None:
        if not 1 <= self.num_inference_steps <= MOST_STEPS:
            raise UserError(f"num_inference_steps {self.num_inference_steps} given; use 1 to {MOST_STEPS}")
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta {self.eta:g} given; use 0 (no noise in a step) to 1")

    def advance(
        self,
        denoise: Denoise,
        noise: NoiseSource,
        frames: Sequence[int],
        shape: tuple[int, int, int],
        on_step: OnStep | None = None,
        given: Given = NOTHING,
    ) -> Tensor:
        """See `Sampler.advance`. Its networks know no clean frames inside of a clip: a prefix is refused."""
        if given.prefix is not None:
            raise ValueError("a clip of one noise level cannot begin with clean frames")
        taken = self.taken(given)
        x = self._start(noise(Purpose.INITIAL, frames, 0, shape), taken[0], given)
        for step, timestep in enumerate(taken):
            predicted = denoise(x, given.timestep(timestep, len(frames)))
            following = taken[step + 1] if step + 1 < len(taken) else None
            fresh = noise(Purpose.VARIANCE, frames, step, shape) if self.eta else None
            x = self.step(x, predicted, timestep, following, fresh)
            x = on_step(step, timestep, x) if on_step else x
        return x

    def taken(self, given: Given = NOTHING) -> list[int]:
        """Timesteps in force: all, or those not above the strength that a source is given with."""
        timesteps = self.schedule.timesteps(self.num_inference_steps)
        if given.source is None or given.strength == 1:
            return timesteps
        count = max(1, int(given.strength * self.num_inference_steps + 1e-9))
        return timesteps[-count:]

    def step(
        self, x: Tensor, predicted: Tensor, timestep: int, following: int | None, fresh: Tensor | None
    ) -> Tensor:
        """From `timestep` to `following` (None: behind the last), float32.

        `x0 = (x − √(1−ᾱ)·ε)/√ᾱ`, `σ = η·√((1−ᾱ′)/(1−ᾱ)·(1−ᾱ/ᾱ′))`, `x′ = √ᾱ′·x0 + √(1−ᾱ′−σ²)·ε + σ·fresh`.
        """
        alphas = self.schedule.alphas
        now, then = float(alphas[timestep]), float(alphas[0 if following is None else following])
        clean, error = self._split(x.double(), predicted.double(), now)
        sigma = self.eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
        x = then**0.5 * clean + max(0.0, 1 - then - sigma**2) ** 0.5 * error
        return (x if fresh is None else x + sigma * fresh.double()).float()

    def _split(self, x: Tensor, predicted: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
        """Clean latents and noise that a prediction amounts to."""
        signal, spread = alpha**0.5, (1 - alpha) ** 0.5
        if self.prediction == "epsilon":
            return (x - spread * predicted) / signal, predicted
        return signal * x - spread * predicted, signal * predicted + spread * x

    def _start(self, noise: Tensor, timestep: int, given: Given) -> Tensor:
        """Noise, or a source noised to the first timestep."""
        if given.source is None or given.strength == 1:
            return noise
        alpha = float(self.schedule.alphas[timestep])
        return alpha**0.5 * given.source + (1 - alpha) ** 0.5 * noise
