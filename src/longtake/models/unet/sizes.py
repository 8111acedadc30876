"""Sizes of the networks in a published file, read off the shapes of their tensors.

What shapes do not tell is as published: groups of a norm, channels of a head in the encoders, frames of a clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from longtake.errors import UserError
from longtake.models.unet.config import UNetConfig

State = Mapping[str, Tensor]
_CONDITION = "unet.controlnet_cond_embedding"


def unet_config(state: State, source: Path) -> UNetConfig:
    """Of the denoising network and its memories. Raises UserError for a file without them."""
    base = "base_model.down_blocks"
    levels = _count(state, base + ".", 2)
    attention = f"{base}.0.attentions.0.transformer_blocks.0.attn2"
    mixing = _shape(state, f"{attention}.conv.weight", source)
    hidden, embedding = _shape(state, "resampler.context_embedding.0.weight", source)
    blocks = _count(state, f"{_CONDITION}.blocks.", 3)
    return UNetConfig(
        in_channels=_shape(state, "base_model.conv_in.weight", source)[1],
        out_channels=_shape(state, "base_model.conv_out.weight", source)[0],
        block_out_channels=tuple(
            _shape(state, f"{base}.{level}.resnets.0.conv1.weight", source)[0] for level in range(levels)
        ),
        layers_per_block=_count(state, f"{base}.0.resnets.", 4),
        cross_attention_dim=_shape(state, f"{attention}.to_k.weight", source)[1],
        attention_head_dim=_shape(state, "base_model.transformer_in.proj_in.weight", source)[0] // 8,
        condition_channels=(
            _shape(state, f"{_CONDITION}.conv_in.weight", source)[0],
            *(_shape(state, f"{_CONDITION}.blocks.{i}.weight", source)[0] for i in range(1, blocks, 2)),
        ),
        condition_norm=any(name.startswith(f"{_CONDITION}.norms.") for name in state),
        text_tokens=mixing[0],
        image_tokens=mixing[1] - mixing[0],
        image_embedding_dim=embedding,
        token_hidden_dim=hidden,
    )


def text_config(state: State, source: Path) -> dict[str, Any]:
    """Of a CLIP text encoder, in transformers' words."""
    words, dim = _shape(state, "embeddings.token_embedding.weight", source)
    return {
        "hidden_size": dim,
        "intermediate_size": _shape(state, "encoder.layers.0.mlp.fc1.weight", source)[0],
        "num_hidden_layers": _count(state, "encoder.layers.", 2),
        "num_attention_heads": max(1, dim // 64),
        "max_position_embeddings": _shape(state, "embeddings.position_embedding.weight", source)[0],
        "vocab_size": words,
        "hidden_act": "gelu",
    }


def image_config(state: State, source: Path) -> dict[str, Any]:
    """Of a CLIP image encoder, in transformers' words."""
    dim, _, patch, _ = _shape(state, "vision_model.embeddings.patch_embedding.weight", source)
    places = _shape(state, "vision_model.embeddings.position_embedding.weight", source)[0] - 1
    return {
        "hidden_size": dim,
        "intermediate_size": _shape(state, "vision_model.encoder.layers.0.mlp.fc1.weight", source)[0],
        "num_hidden_layers": _count(state, "vision_model.encoder.layers.", 3),
        "num_attention_heads": max(1, dim // 80),
        "image_size": math.isqrt(places) * patch,
        "patch_size": patch,
        "projection_dim": _shape(state, "visual_projection.weight", source)[0],
        "hidden_act": "gelu",
    }


def codec_config(state: State, source: Path) -> dict[str, Any]:
    """Of Stable Diffusion's VAE, in diffusers' words."""
    levels = _count(state, "encoder.down_blocks.", 2)
    return {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [
            _shape(state, f"encoder.down_blocks.{level}.resnets.0.conv1.weight", source)[0]
            for level in range(levels)
        ],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": _count(state, "encoder.down_blocks.0.resnets.", 4),
        "latent_channels": _shape(state, "post_quant_conv.weight", source)[0],
        "scaling_factor": 0.18215,
    }


def _count(state: State, prefix: str, place: int) -> int:
    """Different numbers at a place of the names that begin with `prefix`."""
    return len({name.split(".")[place] for name in state if name.startswith(prefix)})


def _shape(state: State, name: str, source: Path) -> tuple[int, ...]:
    if name not in state:
        raise UserError(f"{source} is no whole StreamingT2V: {name} is missing; fetch the file again")
    return tuple(state[name].shape)
