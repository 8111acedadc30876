"""How the whole picture moves, and so what the camera does.

Shapes: B clips, T frames, D channels, H W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_layers import InTime

__all__ = ["Drift", "shift_costs"]


def shift_costs(frames: Tensor, config: ReaderConfig) -> Tensor:
    """How badly each cell fits what was there `camera_lag` frames before, for every shift that is tried.

    `frames` is [B, T, 3, H, W]; returns [B, T, shifts * cells], 0 where a shift is as good as the mean shift.
    """
    across, down = config.drift_reach
    grey = F.avg_pool2d(frames.mean(2), 3, 1, 1)
    lag = torch.arange(grey.shape[1], device=grey.device).sub(config.camera_lag).clamp(min=0)
    earlier = F.pad(grey[:, lag], (across, across, down, down), mode="replicate")
    height, width = grey.shape[2:]
    costs = torch.stack(
        [
            F.adaptive_avg_pool2d(
                (grey - earlier[:, :, y : y + height, x : x + width]).abs(), config.drift_cells
            ).flatten(2)
            for y in range(2 * down + 1)
            for x in range(2 * across + 1)
        ],
        2,
    )
    return (costs / (costs.mean(2, keepdim=True) + 0.01) - 1.0).flatten(2)


class Drift(nn.Module):
    """Whole frames at half size -> features of their movement [B, T, D], and scores of the camera moves."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        across, down = config.drift_reach
        shifts = (2 * across + 1) * (2 * down + 1)
        self.shifts = nn.Sequential(nn.Linear(shifts * config.drift_cells**2, config.drift_width), nn.SiLU())
        self.course = InTime(config.drift_width, 48)
        self.camera = nn.Linear(96, len(config.cameras))

    def forward(self, frames_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
        half = F.avg_pool2d(frames_BTCHW.flatten(0, 1), 2).unflatten(0, frames_BTCHW.shape[:2])
        drift = self.shifts(shift_costs(half, self.config))
        return drift, self.camera(self.course(drift))
