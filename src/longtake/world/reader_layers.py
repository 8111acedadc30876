"""Layers that the reader's networks share. N sequences, T frames, C channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["InTime", "Track", "conv", "lagged"]


def conv(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, group norm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.GroupNorm(8, width), nn.SiLU()
    )


class InTime(nn.Module):
    """Two convolutions over time, then mean and maximum: [N, T, C] -> [N, 2 width]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, width, 5, padding=2),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=4, dilation=2),
            nn.GroupNorm(8, width),
            nn.SiLU(),
        )

    def forward(self, x_NTC: Tensor) -> Tensor:
        x_NCT = self.layers(x_NTC.transpose(1, 2))
        return torch.cat([x_NCT.mean(2), x_NCT.amax(2)], 1)


class Track(nn.Module):
    """Convolutions over a path without norms, for how far something moves matters: [N, T, C] -> [N, 3 width]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=4, dilation=2),
            nn.SiLU(),
        )

    def forward(self, x_NTC: Tensor) -> Tensor:
        x_NCT = self.layers(x_NTC.transpose(1, 2))
        return torch.cat([x_NCT.mean(2), x_NCT.amax(2), x_NCT.amin(2)], 1)


def lagged(frames: Tensor, lag: int) -> Tensor:
    """Each frame's change since `lag` frames before; the first frames are compared with the very first.

    `frames` is [B, T, ...]; so is what comes back.
    """
    earlier = torch.arange(frames.shape[1], device=frames.device).sub(lag).clamp(min=0)
    return frames - frames[:, earlier]
