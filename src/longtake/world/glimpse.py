"""Following solids: where they are by their colour maps, the windows around them, and their paths.

A window moves with its solid, so that a slide shows moving ground under a still solid, a roll a turning one,
and a stay neither, whatever the camera does. Shapes: N solids, T frames, C channels, H W pixels, h w map
cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_layers import lagged

__all__ = ["PATH", "glimpses", "locate", "path_features"]

PATH = 7
"""Channels of `path_features`."""


def locate(share: Tensor) -> tuple[Tensor, Tensor]:
    """Where a colour is, from the shares of the cells it covers.

    Args:
        share: [N, T, h, w] in 0..1.

    Returns:
        Middle [N, T, 2] as (x, y), and side [N, T] of a square of the same area, both in 0..1 of the frame.
        Frames in which the colour is not seen take over the nearest frames' values, weighted by closeness.
    """
    rows, columns = share.shape[2:]
    ys = (torch.arange(rows, device=share.device) + 0.5) / rows
    xs = (torch.arange(columns, device=share.device) + 0.5) / columns
    weight = share * share
    mass = weight.sum((2, 3))
    sums = torch.stack([(weight * xs).sum((2, 3)), (weight * ys[:, None]).sum((2, 3)), mass], 2)
    times = torch.arange(share.shape[1], device=share.device)
    near = torch.exp(-3.0 * (times[:, None] - times).abs().float())
    filled = torch.einsum("st,ntc->nsc", near, sums)
    area = torch.einsum("st,nt->ns", near, share.sum((2, 3))) / near.sum(1)
    own = mass[..., None] > 0.5
    middle = torch.where(
        own, sums[..., :2] / sums[..., 2:].clamp(min=1e-6), filled[..., :2] / filled[..., 2:].clamp(min=1e-6)
    )
    return middle, (area / (rows * columns)).clamp(min=1e-4).sqrt()


def glimpses(frames: Tensor, share: Tensor, middle: Tensor, side: Tensor, config: ReaderConfig) -> Tensor:
    """Windows that follow the solids.

    Args:
        frames: [N, T, 3, H, W], the clip of each solid.
        share: [N, T, h, w], the solid's colour map.
        middle: [N, T, 2]; side: [N, T]; from `locate`.

    Returns:
        [N, T, channels, glimpse, glimpse].
    """
    number, time = frames.shape[:2]
    reach = (config.zoom * side.median(1, keepdim=True).values).clamp(0.12, 1.0)
    steps = (torch.arange(config.glimpse, device=frames.device) + 0.5) / config.glimpse - 0.5
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), 2)
    points = 2.0 * (middle[:, :, None, None] + reach[:, :, None, None, None] * offsets) - 1.0
    points = points.flatten(0, 1)
    looks = _sample(frames.flatten(0, 1), points).unflatten(0, (number, time))
    cover = _sample(share.flatten(0, 1).unsqueeze(1), points).unflatten(0, (number, time))
    changes = [3.0 * lagged(looks, lag) for lag in config.solid_lags]
    return torch.cat([looks, cover, *changes], 2)


def path_features(middle: Tensor, side: Tensor, solids: Tensor) -> Tensor:
    """Place, movement and size over time [N, T, PATH], scaled to about 1, and how many solids share the
    scene."""
    time = side.shape[1]
    spread = side.median(1, keepdim=True).values
    still = [(spread.log() + 1.5).expand(-1, time), (solids - 2.0).unsqueeze(1).expand(-1, time)]
    parts = [
        (middle - 0.5) * 4.0,
        lagged(middle, 1) * 30.0,
        torch.stack([(side / spread).log() * 4.0, *still], 2),
    ]
    return torch.cat(parts, 2)


def _sample(images: Tensor, points: Tensor) -> Tensor:
    return F.grid_sample(images, points, mode="bilinear", padding_mode="border", align_corners=False)
