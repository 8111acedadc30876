"""The network as samplers see it: float32 on the CPU outside, its own device and dtype inside."""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.models.attention import AttentionRule
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling.guidance import Predict


def predictor(
    backbone: WanTransformer, attention: AttentionRule | None = None, *, beside: Tensor | None = None
) -> Predict:
    """`(latents [B, C, T, H, W], timestep [B, T], text) → velocity`; without a rule every frame sees every other.

    beside: `Given.beside`.
    """

    def predict(latents: Tensor, timestep: Tensor, text: TextContext) -> Tensor:
        if beside is not None:
            latents = torch.cat([latents, beside.expand(len(latents), -1, -1, -1, -1)], 1)
        latents, timestep = latents.to(backbone.device, backbone.dtype), timestep.to(backbone.device)
        velocity: Tensor = backbone(latents, timestep, text, attention=attention)
        return velocity.to("cpu", torch.float32)

    return predict
