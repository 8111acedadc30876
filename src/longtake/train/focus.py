"""Training on some of the tokens: those near a solid, and a few of the rest.

Most of a toy scene is ground, which is soon learned; what is hard is the outline of a solid. A step that runs the
network on the tokens around the solids and on a random few of the others costs a fraction of a whole one and puts its
error where it is needed (tokens may be left out of a transformer with rotary positions: MaskDiT, arXiv 2306.09305).
Which tokens are there must not tell what the noise hides, so such a step has noise through which a solid can be seen;
in the noise where a picture takes its shape every token is needed, and the other steps have that.

Beside the velocity the network is asked what shape each token shows (`ShapeHead`). The scene knows, so the words for
shapes find their meaning sooner than through pixels (representation alignment, arXiv 2410.06940, with the truth in
place of another network's features).

Shapes: B samples, F latent frames, N tokens of a frame, K of them kept, S solids, H heads, D head channels,
M model channels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.models.attention import Grid, attend, rotary
from longtake.train.config import Focus, NoiseConfig
from longtake.train.store import ClipRecord
from longtake.world.vocabulary import SHAPES

__all__ = [
    "Chosen",
    "ShapeHead",
    "SomeTokens",
    "choose",
    "choose_tokens",
    "patches",
    "pick",
    "shape_shares",
    "split_noise",
]


class Chosen(NamedTuple):
    """The tokens of a batch that take part in a step."""

    kept: Tensor
    """`[B, F, K]`, in order."""
    shapes: Tensor
    """`[B, F, K, shapes + 1]`, how much of each shows which shape."""

    def to(self, device: torch.device) -> Chosen:
        """The same on a device."""
        return Chosen(self.kept.to(device), self.shapes.to(device))


def choose(
    rng: np.random.Generator,
    shares_BSFhw: Tensor,
    records: Sequence[ClipRecord],
    grid: Grid,
    focus: Focus,
) -> Chosen:
    """Tokens of clips of which it is known how much of each latent cell each solid covers, 0 to 1."""
    batch, solids = shares_BSFhw.shape[:2]
    shares = F.adaptive_avg_pool2d(shares_BSFhw.flatten(0, 2)[:, None], grid)
    shares = shares.view(batch, solids, -1, *grid)
    kept = choose_tokens(rng, shares, focus)
    return Chosen(kept, pick(shape_shares(shares, records), kept))


def choose_tokens(rng: np.random.Generator, shares_BSFhw: Tensor, focus: Focus) -> Tensor:
    """`[B, F, K]`, the tokens to keep, in order: those near a solid come first."""
    covered = (shares_BSFhw.sum(1) > 0).float()
    near = F.max_pool2d(covered, 3, 1, 1).flatten(2)
    lot = torch.from_numpy(rng.random(near.shape)).float() * focus.chance
    kept = (near + lot).topk(focus.tokens, dim=2).indices
    return kept.sort(dim=2).values


def split_noise(noise: NoiseConfig, focus: Focus, *, focused: bool) -> NoiseConfig:
    """The noise of a step with some tokens, or of one with all of them."""
    return noise.model_copy(update={"most": focus.most} if focused else {"least": focus.least})


def pick(x_BFN: Tensor, kept_BFK: Tensor) -> Tensor:
    """The kept ones of `[B, F, N, …]`."""
    index = kept_BFK.reshape(*kept_BFK.shape, *[1] * (x_BFN.ndim - 3))
    return x_BFN.gather(2, index.expand(*kept_BFK.shape, *x_BFN.shape[3:]))


def patches(x_BCFhw: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """`[B, F, N, ph·pw·C]`, in the order in which the network's head gives a token's values."""
    x = x_BCFhw.unfold(3, patch[1], patch[1]).unfold(4, patch[2], patch[2])
    return x.permute(0, 2, 3, 4, 5, 6, 1).flatten(2, 3).flatten(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class SomeTokens:
    """An attention rule like `WholeClip`, over K tokens a frame that each sample chooses for itself."""

    grid: Grid
    positions: tuple[int, ...]
    """Temporal index of each frame in the pass."""
    kept: Tensor
    """`[B, F, K]`."""
    mask: Tensor | None = None
    """`[F, F]` over frames, True where a frame (row) may see a frame (column)."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        angles = rotary(self.positions, self.grid, q.shape[-1], q.device)
        all_BFN = angles.unflatten(0, (len(self.positions), -1)).expand(len(self.kept), -1, -1, -1)
        own = torch.view_as_complex(pick(torch.view_as_real(all_BFN), self.kept)).flatten(1, 2)
        return attend(_turn(q, own), _turn(k, own), v, self._token_mask())

    def _token_mask(self) -> Tensor | None:
        if self.mask is None:
            return None
        n = self.kept.shape[2]
        return self.mask.repeat_interleave(n, 0).repeat_interleave(n, 1)


def _turn(x_BSHD: Tensor, angles_BSC: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x_BSHD.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * angles_BSC[:, :, None]).flatten(-2).to(x_BSHD.dtype)


def shape_shares(shares_BSFhw: Tensor, records: Sequence[ClipRecord]) -> Tensor:
    """`[B, F, N, shapes + 1]`: how much of each token shows which shape, the last being none. Sums to 1."""
    out = shares_BSFhw.new_zeros(len(records), len(SHAPES) + 1, *shares_BSFhw.shape[2:])
    for shown, shares, record in zip(out, shares_BSFhw, records, strict=True):
        for solid, share in zip(record.attributes["solids"], shares, strict=False):
            shown[SHAPES.index(solid["shape"])] += share
    out[:, -1] = (1 - out.sum(1)).clamp_min(0)
    return (out / out.sum(1, keepdim=True)).flatten(3).permute(0, 2, 3, 1)


class ShapeHead(nn.Module):
    """Which shape a token shows, read from the middle of the network; used in training alone."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, len(SHAPES) + 1))

    def forward(self, x_BFKM: Tensor, shares_BFKC: Tensor) -> Tensor:
        """Cross entropy against the shares, a scalar."""
        told = self.layers(x_BFKM).float().log_softmax(-1)
        return -(told * shares_BFKC).sum(-1).mean()
