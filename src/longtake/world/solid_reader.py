"""What a followed solid is and does.

Shapes: N solids, T frames, C channels, H W pixels, P channels of a path, D of the picture's drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.world.glimpse import PATH
from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_layers import InTime, Track, conv

__all__ = ["Read", "SolidReader"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """What the solid reader makes of N solids; all scores are logits."""

    answers: dict[str, Tensor]
    """[N, choices] for each name in `ReaderConfig.answers`."""
    legible: Tensor
    """[N]: whether the solid is whole and clear."""
    looks: dict[str, Tensor]
    """[N, T, choices] for each name in `ReaderConfig.looks`: what every frame says by itself."""


class SolidReader(nn.Module):
    """Glimpses that follow a solid, and its path -> shape, motion, size, legibility."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        width = config.solid_width
        channels = 4 + 3 * len(config.solid_lags)
        self.layers = nn.Sequential(
            conv(channels, width, kernel=5, stride=2),
            conv(width, 2 * width),
            conv(2 * width, 64, stride=2),
            conv(64, 64),
            conv(64, config.feature, stride=2),
        )
        self.view = nn.Linear(config.feature * 16, config.feature)
        self.course = InTime(config.feature, config.feature)
        self.track = Track(PATH + config.drift_width, config.track_width)
        whole = 3 * config.feature + 3 * config.track_width
        self.heads = nn.ModuleDict({name: nn.Linear(whole, len(choices)) for name, choices in config.answers})
        self.looks = nn.ModuleDict(
            {
                name: nn.Linear(config.feature, len(choices))
                for name, choices in config.answers
                if name in config.looks
            }
        )
        self.legible = nn.Linear(whole, 1)

    def forward(self, views_NTCHW: Tensor, path_NTP: Tensor, drift_NTD: Tensor) -> Read:
        number, time = views_NTCHW.shape[:2]
        seen = F.silu(self.view(self.layers(views_NTCHW.flatten(0, 1)).flatten(1))).unflatten(
            0, (number, time)
        )
        track = self.track(torch.cat([path_NTP, drift_NTD], 2))
        whole = torch.cat([self.course(seen), seen.mean(1), track], 1)
        answers = {name: head(whole) for name, head in self.heads.items()}
        looks = {name: look(seen) for name, look in self.looks.items()}
        answers |= {name: answers[name] + votes.mean(1) for name, votes in looks.items()}
        return Read(answers=answers, legible=self.legible(whole).squeeze(1), looks=looks)
