"""Classifier-free guidance (Ho & Salimans, arXiv 2207.12598), over the noise levels that need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from longtake.models.attention import KeyValue
from longtake.models.wan import TextContext
from longtake.sampling import Denoise
from longtake.sampling.schedule import NUM_TRAIN_TIMESTEPS

Predict = Callable[[Tensor, Tensor, TextContext], Tensor]
"""`(latents [B, C, T, H, W], timestep [B, T], text) → velocity`."""


def guided(
    predict: Predict, text: TextContext, null_text: TextContext | None, scale: float, *, until: float = 0.0
) -> Denoise:
    """`v = v_null + scale·(v_text − v_null)`, both branches in one batch; plain `v_text` at scale 1.

    until: noise level σ below which it is left out, by the noisiest frame: what is composed by then needs no
    guidance, and a branch is saved (Kynkäänniemi et al., arXiv 2404.07724). Shapes as in `Predict`, for a batch of one.
    """
    if scale == 1.0 or null_text is None:
        return lambda latents, timestep: predict(latents, timestep, text)
    both = stack_texts(text, null_text)

    def denoise(latents: Tensor, timestep: Tensor) -> Tensor:
        if until and float(timestep.max()) < until * NUM_TRAIN_TIMESTEPS:
            return predict(latents, timestep, text)
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
