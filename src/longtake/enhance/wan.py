"""Enhancing with a Wan-shaped transformer: flow matching, every frame of a window seeing every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

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
    """A `Denoiser`: x0 = x − σ·v of a network that predicts velocity."""

    backbone: WanTransformer
    text_encoder: TextEncoder
    guidance_scale: float = 1.0
    prediction: Literal["velocity", "sample"] = "velocity"
    """See `FlowSpec.prediction`."""

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
        predicted = denoise(x, torch.full((1, x.shape[2]), level.timestep))
        return predicted if self.prediction == "sample" else x - level.sigma * predicted

    def _predict(self, latents: Tensor, timestep: Tensor, text: TextContext) -> Tensor:
        backbone = self.backbone
        predicted: Tensor = backbone(
            latents.to(backbone.device, backbone.dtype), timestep.to(backbone.device), text
        )
        return predicted.to("cpu", torch.float32)

    def _context(self, prompt: str) -> TextContext:
        embedding = self.text_encoder.encode([prompt])
        return self.backbone.text_context(embedding.to(self.backbone.device, self.backbone.dtype))
