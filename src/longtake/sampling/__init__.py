"""From noise to clean latents: noise, schedules, samplers and guidance.

A sampler is a frozen dataclass with `advance(denoise, noise, frames, shape)`; a new one is one file here that passes
`tests/sampling/test_sampler_contract.py`. Samplers know nothing of networks: they call a `Denoise`. What a block is
made from beside noise (an image, a source video) comes as a `Given`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from longtake.sampling.given import NOTHING, Given
from longtake.sampling.noise import NoiseSource

Denoise = Callable[[Tensor, Tensor], Tensor]
"""`(latents [B, C, T, H, W], timestep [B, T]) → velocity [B, C, T, H, W]`."""

OnStep = Callable[[int, float, Tensor], Tensor]
"""`(step, timestep, latents) → latents`, called after every step; may return changed latents."""


class Sampler(Protocol):
    """Turns the noise of some latent frames into clean latents."""

    def advance(
        self,
        denoise: Denoise,
        noise: NoiseSource,
        frames: Sequence[int],
        shape: tuple[int, int, int],
        on_step: OnStep | None = None,
        given: Given = NOTHING,
    ) -> Tensor:
        """Clean latents `[1, C, T, H, W]` of the latent frames `frames`; `shape` is `(C, H, W)`.

        They are where the noise and `given` are: on the CPU, or on the device of the model. At `given.strength` 1 the
        source changes nothing, not a bit. Frames of `given.prefix` come back as they are.
        """
        ...
