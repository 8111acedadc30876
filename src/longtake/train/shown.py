"""What each token shows: a second question, asked in the middle of the network while it learns to paint.

The picture's error alone is a poor teacher of words: a shape, a size and a motion change few cells, and only together
do they say which. The scene knows what every token shows, so the network is asked: of which shape, colour and motion is
the solid in this token, if there is one? In strong noise nothing but the caption can tell, and so the caption is read
(representation alignment, arXiv 2410.06940, with the truth in place of another network's features). The head that
answers is used in training alone.

Shapes: B samples, S solids, F latent frames, N tokens of a frame, M model channels, A answers, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from longtake.models.attention import Grid
from longtake.train.store import ClipRecord
from longtake.world.vocabulary import COLOURS, MOTIONS, SHAPES

__all__ = ["ANSWERS", "ShownHead", "shown_shares"]

ANSWERS = {"shape": SHAPES, "colour": COLOURS, "motion": MOTIONS}
_PARTS = [1 + len(words) for words in ANSWERS.values()]


def shown_shares(shares_BSFhw: Tensor, records: Sequence[ClipRecord], grid: Grid) -> Tensor:
    """`[B, F, N, A]`: how much of each token shows which shape, which colour and which motion; each sums to 1.

    The first answer to each is none. Zeros where it is not known: in clips in which a solid changes.
    """
    batch, solids = shares_BSFhw.shape[:2]
    pooled = F.adaptive_avg_pool2d(shares_BSFhw.flatten(0, 2)[:, None], grid)
    pooled = pooled.view(batch, solids, -1, grid.tokens)
    out = pooled.new_zeros(batch, sum(_PARTS), *pooled.shape[2:])
    for shown, shares, record in zip(out, pooled, records, strict=True):
        if record.attributes.get("events"):
            continue
        for part, (name, words) in zip(shown.split(_PARTS), ANSWERS.items(), strict=True):
            for solid, share in zip(record.attributes["solids"], shares, strict=False):
                part[1 + words.index(solid[name])] += share
            part[0] = (1 - part.sum(0)).clamp_min(0)
            part /= part.sum(0)
    return out.permute(0, 2, 3, 1)


class ShownHead(nn.Module):
    """Answers for each token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, sum(_PARTS)))

    def forward(self, x_BFNM: Tensor, shown_BFNA: Tensor) -> Tensor:
        """Cross entropy against the shares, the mean over tokens of which they are known; a scalar."""
        told = [part.log_softmax(-1) for part in self.layers(x_BFNM).float().split(_PARTS, -1)]
        asked = shown_BFNA.split(_PARTS, -1)
        known = asked[0].sum(-1) > 0
        error = sum(-(answer * share).sum(-1) for answer, share in zip(told, asked, strict=True))
        mean: Tensor = (error * known).sum() / known.sum().clamp_min(1)
        return mean
