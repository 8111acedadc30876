"""Attention over video tokens: rotary positions, and the rules that say which frames a frame may see.

Shapes: B batch, T latent frames, N tokens of one latent frame, S = T·N tokens, H heads, D head channels.
Keys and values are `[B, S, H, D]`. A rule receives *unrotated* queries and keys and owns everything that depends on
position, so that the network itself knows nothing of windows, sinks or caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from longtake.models.backends import kernel

ROPE_THETA = 10000.0


class KeyValue(NamedTuple):
    """Keys and values of some tokens, each `[B, S, H, D]`."""

    k: Tensor
    v: Tensor


Record = Callable[[int, KeyValue], None]
"""Called with a layer and the unrotated keys and values that it computed, both of the whole batch."""


class Grid(NamedTuple):
    """Size of one latent frame in tokens."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        return self.height * self.width


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept here may be met by autograd later
def rotary(positions: tuple[int, ...], grid: Grid, head_dim: int, device: torch.device) -> Tensor:
    """Rotations `[S, D/2]`, complex64, of whole latent frames standing at the temporal indices `positions`.

    Time, height and width have their own channels, `D − 4⌊D/6⌋`, `2⌊D/6⌋` and `2⌊D/6⌋` of them, and their own
    spectrum (Wan 2.1). Angles are computed in float64.
    """
    spatial = 2 * (head_dim // 6)
    t = torch.tensor(positions, dtype=torch.float64)
    h = torch.arange(grid.height, dtype=torch.float64)
    w = torch.arange(grid.width, dtype=torch.float64)
    shape = (len(positions), grid.height, grid.width)
    angles = torch.cat(
        [
            _angles(t, head_dim - 2 * spatial)[:, None, None].expand(*shape, -1),
            _angles(h, spatial)[None, :, None].expand(*shape, -1),
            _angles(w, spatial)[None, None, :].expand(*shape, -1),
        ],
        dim=-1,
    ).flatten(0, 2)
    return torch.polar(torch.ones_like(angles), angles).to(device, torch.complex64)


def _angles(index: Tensor, channels: int) -> Tensor:
    frequency = ROPE_THETA ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)
    return index[:, None] * frequency


def rotate(x: Tensor, rotations: Tensor) -> Tensor:
    """Rotate adjacent channel pairs of `x [B, S, H, D]`; computed in float32, returned in the dtype of `x`."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotations[:, None]).flatten(-2).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention on `[B, S, H, D]` by the chosen backend; `mask` is True where a query may see a key, or a bias."""
    return kernel()(q, k, v, mask)


def block_causal_mask(num_frames: int, block: int) -> Tensor:
    """`[T, T]`, True where frame (row) may see frame (column): all frames up to the end of its own block."""
    index = torch.arange(num_frames) // block
    return index[:, None] >= index[None, :]


class AttentionRule(Protocol):
    """Self-attention of one forward pass, called once a layer."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Unrotated `q, k, v [B, S, H, D]` of the tokens in the pass → attention output `[B, S, H, D]`."""
        ...


class _Group(NamedTuple):
    """Neighbouring frames that see the same: less work than a mask over tokens, and no memory."""

    rows: tuple[int, ...]
    seen: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeClip:
    """All frames in one pass: bidirectional without a mask, block-causal and the like with one."""

    grid: Grid
    positions: tuple[int, ...]
    """Temporal index of each frame in the pass."""
    mask: Tensor | None = None
    """`[T, T]` over frames, on the CPU, True where a frame (row) may see a frame (column)."""
    groups: tuple[_Group, ...] = field(init=False)
    """What the mask says, ready for use: nothing of it is read back from a device in the middle of a pass."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", () if self.mask is None else tuple(_groups(self.mask)))

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        angles = rotary(self.positions, self.grid, q.shape[-1], q.device)
        q, k = rotate(q, angles), rotate(k, angles)
        if self.mask is None:
            return attend(q, k, v)
        q_frames, k_frames, v_frames = (x.split(self.grid.tokens, 1) for x in (q, k, v))
        out = [
            attend(
                torch.cat([q_frames[frame] for frame in rows], 1),
                torch.cat([k_frames[frame] for frame in seen], 1),
                torch.cat([v_frames[frame] for frame in seen], 1),
            )
            for rows, seen in self.groups
        ]
        return torch.cat(out, 1)


def _groups(mask: Tensor) -> Iterator[_Group]:
    for seen, group in groupby(enumerate(mask.tolist()), key=itemgetter(1)):
        rows = tuple(frame for frame, _ in group)
        yield _Group(rows, tuple(frame for frame, sees in enumerate(seen) if sees))


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedContext:
    """A block of new frames beside keys and values that are already known (a KV cache).

    The new tokens see the whole context and each other.
    """

    grid: Grid
    positions: tuple[int, ...]
    """Temporal index of each new frame."""
    past: Sequence[KeyValue]
    """For each layer the context, `[1, P + S, H, D]`: P tokens with keys already rotated, then room for the S new
    ones, which are written there in every pass. It serves any batch, whose rows go one after the other."""
    bias: Tensor | None = None
    """`[1, P + S]`, added to the logits of each key."""
    record: Record | None = None
    """Told what each layer computed for the new tokens, once it has attended to the past."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        angles = rotary(self.positions, self.grid, q.shape[-1], q.device)
        rows = zip(rotate(q, angles).split(1), rotate(k, angles).split(1), v.split(1), strict=True)
        out = torch.cat([self._row(*row, self.past[layer]) for row in rows])
        if self.record is not None:
            self.record(layer, KeyValue(k, v))
        return out

    def _row(self, q: Tensor, k: Tensor, v: Tensor, past: KeyValue) -> Tensor:
        past.k[:, -k.shape[1] :] = k
        past.v[:, -v.shape[1] :] = v
        return attend(q, past.k, past.v, self.bias)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """A batch whose rows each follow a rule of their own: streams side by side in one pass."""

    rules: tuple[AttentionRule, ...]
    """One a row."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = zip(self.rules, q.split(1), k.split(1), v.split(1), strict=True)
        return torch.cat([rule(layer, *row) for rule, *row in rows])


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """Another rule, with the unrotated keys and values of its pass handed on layer by layer."""

    rule: AttentionRule
    record: Record

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.record(layer, KeyValue(k, v))
        return self.rule(layer, q, k, v)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What one block of frames sees: the frames (its own last) and the temporal index each stands at."""

    frames: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockViews:
    """The plain form of every streaming cache: the whole past in one pass, keys rotated anew for each block.

    Slow, exact, and free of state: the oracle that `CachedContext` is tested against.
    """

    grid: Grid
    blocks: tuple[tuple[int, ...], ...]
    """Frames (indices into the pass) of each block, in order."""
    views: tuple[View, ...]
    """What each block sees."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n = self.grid.tokens
        q, k, v = (x.unflatten(1, (-1, n)) for x in (q, k, v))
        out = [self._block(q, k, v, block, view) for block, view in zip(self.blocks, self.views, strict=True)]
        return torch.cat(out, 1)

    def _block(self, q: Tensor, k: Tensor, v: Tensor, block: tuple[int, ...], view: View) -> Tensor:
        where = dict(zip(view.frames, view.positions, strict=True))
        own = rotary(tuple(where[f] for f in block), self.grid, q.shape[-1], q.device)
        seen = rotary(view.positions, self.grid, q.shape[-1], q.device)
        q_block, k_seen, v_seen = q[:, list(block)], k[:, list(view.frames)], v[:, list(view.frames)]
        return attend(
            rotate(q_block.flatten(1, 2), own), rotate(k_seen.flatten(1, 2), seen), v_seen.flatten(1, 2)
        )
