"""Latents in eight bits: one scale a channel, the image latent of a clip apart from the others.

Shapes: K clips, C channels, T latent frames, h w latent cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 127


def quantise(latents_KCThw: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """→ int8 of the same shape, and scales `[2, C]`: row 0 for image latents, row 1 for the others.

    `image` is bool `[T]`, True for the frames that are image latents. A value x is stored as round(x / scale); the
    scale is the channel's greatest magnitude over 127, so nothing is clipped and the error is at most half a scale.
    """
    scales = torch.stack([_scale(latents_KCThw[:, :, image]), _scale(latents_KCThw[:, :, ~image])])
    steps = latents_KCThw / _spread(scales, image)
    return steps.round().clamp(-LEVELS, LEVELS).to(torch.int8), scales


def restore(steps_KCThw: Tensor, scales: Tensor, image: Tensor) -> Tensor:
    """The float32 latents that `quantise` stored."""
    return steps_KCThw.float() * _spread(scales, image)


def _scale(latents: Tensor) -> Tensor:
    if latents.numel() == 0:
        return torch.ones(latents.shape[1])
    return latents.abs().amax(dim=(0, 2, 3, 4)).clamp_min(1e-6) / LEVELS


def _spread(scales: Tensor, image: Tensor) -> Tensor:
    """Scales as `[1, C, T, 1, 1]`."""
    return torch.where(image[None], scales[0][:, None], scales[1][:, None])[None, :, :, None, None]
