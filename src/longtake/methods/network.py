"""The network as samplers see it: float32 outside, its own dtype inside; and what a block is made from, beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.models.attention import AttentionRule
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling.given import Given
from longtake.sampling.guidance import Predict
from longtake.sampling.noise import MovedNoise, NoiseSource


def predictor(
    backbone: WanTransformer, attention: AttentionRule | None = None, *, beside: Tensor | None = None
) -> Predict:
    """`(latents [B, C, T, H, W], timestep [B, T], text) → velocity`; without a rule every frame sees every other.

    The velocity is where the latents are. beside: `Given.beside`.
    """

    def predict(latents: Tensor, timestep: Tensor, text: TextContext) -> Tensor:
        place = latents.device
        if beside is not None:
            latents = torch.cat([latents, beside.expand(len(latents), -1, -1, -1, -1)], 1)
        latents, timestep = latents.to(backbone.device, backbone.dtype), timestep.to(backbone.device)
        velocity: Tensor = backbone(latents, timestep, text, attention=attention)
        return velocity.to(place, torch.float32)

    return predict


def brought(backbone: WanTransformer, noise: NoiseSource, given: Given) -> tuple[NoiseSource, Given]:
    """Noise and what is given, where the network is: a block's latents stay there from its first step to its last."""
    return MovedNoise(noise, backbone.device), given.to(backbone.device)
