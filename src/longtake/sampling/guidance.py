"""Classifier-free guidance (Ho & Salimans, arXiv 2207.12598)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from longtake.models.attention import KeyValue
from longtake.models.wan import TextContext
from longtake.sampling import Denoise

Predict = Callable[[Tensor, Tensor, TextContext], Tensor]
"""`(latents [B, C, T, H, W], timestep [B, T], text) → velocity`."""


def guided(predict: Predict, text: TextContext, null_text: TextContext | None, scale: float) -> Denoise:
    """`v = v_null + scale·(v_text − v_null)`, both branches in one batch; plain `v_text` at scale 1.

    Shapes as in `Predict`, for a batch of one.
    """
    if scale == 1.0 or null_text is None:
        return lambda latents, timestep: predict(latents, timestep, text)
    both = stack_texts(text, null_text)

    def denoise(latents: Tensor, timestep: Tensor) -> Tensor:
        velocity = predict(latents.expand(2, -1, -1, -1, -1), timestep.expand(2, -1), both)
        conditional, unconditional = velocity.float().chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return denoise


def stack_texts(*texts: TextContext) -> TextContext:
    """Text contexts of batch one side by side in the batch."""
    return TextContext(_stack([text.layers for text in texts]), _stack([text.image for text in texts]))


def _stack(texts: Sequence[tuple[KeyValue, ...]]) -> tuple[KeyValue, ...]:
    layers = zip(*texts, strict=True)
    return tuple(KeyValue(torch.cat([kv.k for kv in kvs]), torch.cat([kv.v for kv in kvs])) for kvs in layers)
