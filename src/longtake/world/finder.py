"""Where each colour is in every frame, which solids there are, the ground, and whether the clip can be read.

Shapes: B clips, T frames, K colours, C channels, H W pixels, h w map cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_layers import conv, lagged

__all__ = ["Finder", "Found"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What the finder makes of clips; all scores are logits."""

    maps: Tensor
    """[B, T, K + 1, h, w]: which colour covers a cell; the last is none."""
    present: Tensor
    """[B, K]: whether a solid of that colour is there."""
    ground: Tensor
    """[B, grounds]."""
    legible: Tensor
    """[B]: whether this is a clip that can be read."""


class Finder(nn.Module):
    """Whole frames at half size -> colour maps, presence, ground, legibility."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        width, coarse = config.finder_width, 2 * config.finder_width
        self.config = config
        self.stem = conv(6, width, stride=2)
        self.fine = conv(width, width)
        self.down = conv(width, coarse, stride=2)
        self.wide = nn.Sequential(conv(coarse, coarse), conv(coarse, coarse))
        self.lateral = nn.Conv2d(coarse, width, 1)
        self.maps = nn.Conv2d(width, len(config.colours) + 1, 1)
        self.present = nn.Sequential(nn.Linear(width + 2, 32), nn.SiLU(), nn.Linear(32, 1))
        self.scene = nn.Linear(3 * coarse, coarse)
        self.legible = nn.Sequential(nn.Linear(2 * coarse, 32), nn.SiLU(), nn.Linear(32, 1))
        self.ground = nn.Linear(coarse, len(config.grounds))

    def forward(self, frames_BTCHW: Tensor) -> Found:
        batch, time = frames_BTCHW.shape[:2]
        fine, coarse = self._pictures(frames_BTCHW)
        mixed = F.silu(fine + F.interpolate(self.lateral(coarse), scale_factor=2.0))
        maps = self.maps(mixed).unflatten(0, (batch, time))
        scene = self._scene(coarse).unflatten(0, (batch, time))
        return Found(
            maps=maps,
            present=self._presence(maps, mixed.unflatten(0, (batch, time))),
            ground=self.ground(scene.mean(1)),
            legible=self.legible(torch.cat([scene.mean(1), scene.amax(1)], 1)).squeeze(1),
        )

    def scene_features(self, frames_BTCHW: Tensor) -> Tensor:
        """What each frame is described by as a whole, [B, T, C]."""
        _, coarse = self._pictures(frames_BTCHW)
        return self._scene(coarse).unflatten(0, frames_BTCHW.shape[:2])

    def _pictures(self, frames_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Features of all frames on the fine grid and on the coarse one, [B·T, C, h, w] each."""
        half = F.avg_pool2d(frames_BTCHW.flatten(0, 1), 2).unflatten(0, frames_BTCHW.shape[:2])
        views = torch.cat([half, 4.0 * lagged(half, self.config.camera_lag)], 2)
        fine = self.fine(self.stem(views.flatten(0, 1)))
        return fine, self.wide(self.down(fine))

    def _scene(self, coarse: Tensor) -> Tensor:
        moments = torch.cat([coarse.mean((2, 3)), coarse.std((2, 3)), coarse.amax((2, 3))], 1)
        return F.silu(self.scene(moments))

    def _presence(self, maps: Tensor, mixed: Tensor) -> Tensor:
        share = maps.softmax(2)[:, :, :-1].flatten(3)
        area = share.sum(3)
        seen = torch.einsum("btkx,btcx->btkc", share, mixed.flatten(3)) / (area.unsqueeze(3) + 0.5)
        size = torch.stack([area.clamp(min=0.01).log(), share.amax(3)], 3)
        return self.present(torch.cat([seen, size], 3).mean(1)).squeeze(2)
