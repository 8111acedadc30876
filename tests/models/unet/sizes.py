"""A tiny network with every part of the published one, and weights of which none is zero."""

from __future__ import annotations

import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from longtake.models.clip_image import ClipImageEncoder
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.streaming import StreamingUNet
from tests.drawn import drawn

TINY_UNET = UNetConfig(
    block_out_channels=(8, 16, 16),
    layers_per_block=1,
    cross_attention_dim=12,
    attention_head_dim=4,
    norm_num_groups=4,
    video_length=6,
    condition_length=3,
    condition_channels=(4, 6, 8, 8),
    text_tokens=7,
    image_tokens=3,
    image_embedding_dim=10,
    token_hidden_dim=9,
)


def refill(module: nn.Module) -> None:
    """Every parameter by its name; gains near one, so that no path dies away."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(drawn(name, parameter.shape or (1,)).reshape(parameter.shape))
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter += 1
    module.eval().requires_grad_(False)


def tiny_image_encoder() -> ClipImageEncoder:
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        projection_dim=TINY_UNET.image_embedding_dim,
        hidden_act="gelu",
    )
    return ClipImageEncoder(CLIPVisionModelWithProjection(config))


def tiny_unet(config: UNetConfig = TINY_UNET) -> StreamingUNet:
    model = StreamingUNet(config, tiny_image_encoder())
    refill(model)
    return model
