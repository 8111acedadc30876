"""What a block starts from beside its noise: frames that are known already, and a source that it is made from.

Shapes: C channels, T latent frames of the block, P of them known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.sampling.schedule import NUM_TRAIN_TIMESTEPS


def check_strength(strength: float) -> float:
    """The strength itself, or UserError when it is not above 0 and at most 1."""
    if not 0 < strength <= 1:
        raise UserError(f"strength {strength:g} is out of range; use more than 0 (keeps the source) up to 1")
    return strength


def steps_from(timesteps: Sequence[float], strength: float) -> list[float]:
    """Those of a distilled model's timesteps that are not above `strength`; UserError when there is none."""
    taken = [t for t in timesteps if t <= NUM_TRAIN_TIMESTEPS * strength + 1e-6]
    if not taken:
        least = math.ceil(timesteps[-1]) / NUM_TRAIN_TIMESTEPS
        raise UserError(
            f"strength {strength:g} is below this model's last step; use {least:g} to 1, "
            "or a model with more steps"
        )
    return taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """Known latents of a block. Without any, a sampler starts from noise alone."""

    prefix: Tensor | None = None
    """`[1, C, P, H, W]`, clean latents of the first P frames: kept as they are, at timestep 0."""
    source: Tensor | None = None
    """`[1, C, T, H, W]`, latents of the video that the block is made from (SDEdit, arXiv 2108.01073)."""
    strength: float = 1.0
    """How much of the source is replaced by noise, above 0; at 1 nothing of it is left."""
    begin: float | None = None
    """Timestep of the first step, in place of the sampler's own; None begins where `strength` falls."""
    beside: Tensor | None = None
    """`[1, K, T, H, W]`, channels that the network reads beside the latents in every pass; None for most models."""

    def __post_init__(self) -> None:
        check_strength(self.strength)

    @property
    def known(self) -> int:
        """P, the number of frames that need no denoising."""
        return 0 if self.prefix is None else self.prefix.shape[2]

    def start(self, noise: Tensor) -> Tensor:
        """The latents of the first step: `(1−s)·source + s·noise`, known frames in their place."""
        if self.source is not None and self.strength < 1:
            noise = (1 - self.strength) * self.source + self.strength * noise
        return self.hold(noise)

    def hold(self, latents: Tensor) -> Tensor:
        """Put the known frames back into `[1, C, T, H, W]`."""
        if self.prefix is None:
            return latents
        return torch.cat([self.prefix.to(latents), latents[:, :, self.known :]], dim=2)

    def to(self, device: torch.device) -> Given:
        """The same with its latents on a device."""
        moved = {
            name: tensor.to(device)
            for name in ("prefix", "source", "beside")
            if (tensor := getattr(self, name)) is not None
        }
        return replace(self, **moved) if moved else self

    def timestep(self, value: float, frames: int, device: torch.device | None = None) -> Tensor:
        """`[1, T]`: what the network is fed for a block of `frames` at timestep `value`."""
        timestep = torch.full((1, frames), value, device=device)
        timestep[:, : self.known] = 0
        return timestep

    def listed(self, timesteps: Sequence[float]) -> list[float]:
        """Those of a distilled model's timesteps that are taken. UserError when `strength` leaves none."""
        if self.source is None:
            return list(timesteps)
        if self.begin is not None:
            return [self.begin, *(t for t in timesteps[1:] if t < self.begin)]
        return steps_from(timesteps, self.strength)

    def graded(self, sigmas: Sequence[float]) -> list[float]:
        """The noise levels of an ODE, falling from `strength` instead of 1."""
        if self.source is None:
            return list(sigmas)
        return [self.strength, *(sigma for sigma in sigmas if sigma < self.strength - 1e-9)]


NOTHING = Given()
