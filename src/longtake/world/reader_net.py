"""The reader's networks together: a finder and a drift that look at whole frames, a solid reader at glimpses.

Shapes: B clips, T frames, N solids of all clips together, H W pixels, h w map cells.
"""

from __future__ import annotations

from torch import Tensor, nn

from longtake.world.drift import Drift
from longtake.world.finder import Finder, Found
from longtake.world.glimpse import glimpses, locate, path_features
from longtake.world.reader_config import ReaderConfig
from longtake.world.solid_reader import Read, SolidReader

__all__ = ["ReaderNet"]


class ReaderNet(nn.Module):
    """Everything that is learned."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        self.finder = Finder(config)
        self.drift = Drift(config)
        self.solids = SolidReader(config)

    def read(self, frames: Tensor, found: Found, drift: Tensor, clip: Tensor, colour: Tensor) -> Read:
        """Read the solids of `colour` [N] in the windows `clip` [N] of `frames` [B, T, 3, H, W].

        `found` and `drift` are what finder and drift make of the same frames.
        """
        share = found.maps.detach().softmax(2)[clip, :, colour]
        middle, side = locate(share)
        others = found.present.detach().sigmoid().sum(1)[clip]
        return self.read_at(frames[clip], share, middle, side, others, drift[clip])

    def read_at(
        self, frames: Tensor, share: Tensor, middle: Tensor, side: Tensor, others: Tensor, drift: Tensor
    ) -> Read:
        """Read N solids that were located already.

        Args:
            frames: [N, T, 3, H, W], the clip of each.
            share: [N, T, h, w], its colour map; middle [N, T, 2] and side [N, T] as from `locate`.
            others: [N], how many solids there are in its clip.
            drift: [N, T, D], of its clip.
        """
        views = glimpses(frames, share, middle, side, self.config)
        return self.solids(views, path_features(middle, side, others), drift)
