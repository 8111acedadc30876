"""What a pass of the transformer holds beside weights and caches, found by running it on tensors without contents."""

from __future__ import annotations

from dataclasses import replace

import torch

from longtake.models.attention import CachedContext, Grid, KeyValue
from longtake.models.meter import FusedAttention, LiveBytes
from longtake.models.wan import WanConfig, WanTransformer

IMAGE_TOKENS = 257
"""Of one picture, as CLIP ViT-H makes them."""


def pass_bytes(
    config: WanConfig,
    grid: Grid,
    *,
    frames: int,
    past: int,
    dtype: torch.dtype,
    rows: int = 1,
    text_length: int = 512,
) -> int:
    """Peak of one pass over `frames` latent frames beside `past` remembered ones, for a batch of `rows`.

    Every layer is alike, so a model of one layer and one of two tell what any number of them needs.
    """
    one, two = (
        _peak(replace(config, num_layers=n), grid, frames, past, dtype, rows, text_length) for n in (1, 2)
    )
    return one + (config.num_layers - 1) * (two - one)


def _peak(
    config: WanConfig, grid: Grid, frames: int, past: int, dtype: torch.dtype, rows: int, text_length: int
) -> int:
    _, ph, pw = config.patch_size
    with torch.device("meta"), torch.no_grad():
        model = WanTransformer(config).to(dtype)
        heads = config.num_attention_heads, config.attention_head_dim
        room = (1, (past + frames) * grid.tokens, *heads)
        cache = tuple(
            KeyValue(torch.empty(room, dtype=dtype), torch.empty(room, dtype=dtype))
            for _ in range(config.num_layers)
        )
        tokens = config.pos_embed_seq_len or IMAGE_TOKENS
        image = None if config.image_dim is None else torch.empty(1, tokens, config.image_dim, dtype=dtype)
        context = model.text_context(torch.empty(rows, text_length, config.text_dim, dtype=dtype), image)
        shape = (rows, config.in_channels, frames, grid.height * ph, grid.width * pw)
        latents, timestep = torch.empty(shape, dtype=dtype), torch.empty(rows, frames)
    there = [*model.parameters(), latents, timestep]
    there += [tensor for kv in (*cache, *context.layers, *context.image) for tensor in kv]
    rule = CachedContext(grid=grid, positions=tuple(range(past, past + frames)), past=cache)
    with torch.no_grad(), LiveBytes(there) as meter, FusedAttention():
        model(latents, timestep, context, attention=rule)
    return meter.peak
