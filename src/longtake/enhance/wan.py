"""Enhancing with a Wan-shaped transformer: flow matching, every frame of a window seeing every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from longtake.enhance.levels import Level
from longtake.models.text import TextEncoder
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling.guidance import guided


class WanText(NamedTuple):
    """A prompt, and the empty one where guidance is on."""

    prompt: TextContext
    empty: TextContext | None


@dataclass(frozen=True, kw_only=True)
class WanDenoiser:
    """A `Denoiser`: x0 = x − σ·v."""

    backbone: WanTransformer
    text_encoder: TextEncoder
    guidance_scale: float = 1.0

    @property
    def patch(self) -> int:
        """See `Denoiser.patch`."""
        return self.backbone.config.patch_size[1]

    def read(self, prompt: str) -> WanText:
        """See `Denoiser.read`."""
        return WanText(self._context(prompt), None if self.guidance_scale == 1 else self._context(""))

    def clean(self, x: Tensor, level: Level, text: WanText) -> Tensor:
        """See `Denoiser.clean`."""
        denoise = guided(self._predict, text.prompt, text.empty, self.guidance_scale)
        velocity = denoise(x, torch.full((1, x.shape[2]), level.timestep))
        return x - level.sigma * velocity

    def _predict(self, latents: Tensor, timestep: Tensor, text: TextContext) -> Tensor:
        backbone = self.backbone
        velocity: Tensor = backbone(
            latents.to(backbone.device, backbone.dtype), timestep.to(backbone.device), text
        )
        return velocity.to("cpu", torch.float32)

    def _context(self, prompt: str) -> TextContext:
        embedding = self.text_encoder.encode([prompt])
        return self.backbone.text_context(embedding.to(self.backbone.device, self.backbone.dtype))
