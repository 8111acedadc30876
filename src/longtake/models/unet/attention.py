"""Cross-attention to keys and values that are made once, not at every step.

The prompt of a video (and its anchor) does not change from step to step, nor from frame to frame. So each layer's keys
and values are computed when either changes, and a pass reads them: what a pass is given for text is one `KeyValue` a
layer, `[B, L, H, D]`.

Shapes: B videos, T frames, N latent cells, L text tokens, I image tokens, C channels, H heads, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.models.attention import KeyValue


class ReadyContext:
    """An attention processor of diffusers: attends to what is ready for its layer."""

    def __init__(self, layer: int) -> None:
        self.layer = layer

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Sequence[KeyValue],
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """`[B·T, N, C]` → the same; all frames of a video read the same tokens."""
        k, v = encoder_hidden_states[self.layer]
        q = attention.to_q(hidden_states).view(k.shape[0], -1, *k.shape[2:])
        seen = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        out: Tensor = attention.to_out[0](seen.transpose(1, 2).reshape(hidden_states.shape))
        return out


def cross_attentions(blocks: Sequence[nn.Module]) -> list[Any]:
    """The text cross-attention of every layer, in the order of the pass; each learns its number."""
    found = [
        transformer.attn2
        for block in blocks
        for spatial in getattr(block, "attentions", ())
        for transformer in spatial.transformer_blocks
    ]
    for layer, attention in enumerate(found):
        attention.set_processor(ReadyContext(layer))
    return found


def keys_and_values(attention: Any, rows: Tensor) -> KeyValue:
    """What a layer makes of the tokens `[B, L, C]`."""
    k, v = (
        project(rows).unflatten(-1, (attention.heads, -1)) for project in (attention.to_k, attention.to_v)
    )
    return KeyValue(k, v)


def add_mixing(attention: Any, text_tokens: int, image_tokens: int, dim: int) -> None:
    """Give a layer StreamingT2V's mixing of image tokens into the text; without effect until it is trained."""
    attention.conv = nn.Conv1d(text_tokens + image_tokens, text_tokens, 3, padding="same")
    attention.conv_ln = nn.LayerNorm(dim)
    attention.alpha = nn.Parameter(torch.zeros(()))


def mix(attention: Any, text: Tensor, image: Tensor) -> Tensor:
    """`x = T + SiLU(α)·LayerNorm(Conv1d([T; I]))`, `[B, L, C]` (arXiv 2403.14773, equation 6).

    The convolution goes along the channels; tokens are what it mixes. text `[B, L, C]`, image `[B, I, C]`.
    """
    mixed: Tensor = attention.conv_ln(attention.conv(torch.cat([text, image], dim=1)))
    return text + F.silu(attention.alpha) * mixed
