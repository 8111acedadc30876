"""Preallocated keys and values: one slot a latent frame, nothing is ever moved.

Attention reads the slots where they are, in the order of the slots: it does not care which of its keys comes first.
Behind the slots there is room for the block being made, so that no pass copies the past. Keys are kept unrotated and
turned for each block; where a frame never changes its place in time they are turned once, and not kept twice.

Shapes: Y layers, F slots, N tokens a frame, H heads, D head channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.models.attention import Grid, KeyValue, rotary, rotate
from longtake.models.wan import WanConfig, WanTransformer


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheShape:
    """What a memory asks of its cache, in latent frames."""

    slots: int
    """Frames remembered."""
    seen: int
    """Most frames in one attention, the new ones included."""
    fixed: bool
    """Whether keys are rotated once, because a frame never changes its place in time."""
    gathers: bool = False
    """Whether a pass may see only some of the slots."""

    def num_bytes(self, config: WanConfig, grid: Grid, dtype: torch.dtype) -> int:
        """Size of the cache, nothing allocated."""
        frames = 2 * self.seen + (0 if self.fixed else self.slots) + (self.slots if self.gathers else 0)
        return frames * config.num_layers * grid.tokens * config.dim * dtype.itemsize


class KVCache:
    """Keys and values of some latent frames, in all layers, for a batch of one."""

    def __init__(self, shape: CacheShape, backbone: WanTransformer, grid: Grid) -> None:
        config = backbone.config

        def empty(frames: int) -> Tensor:
            heads = config.num_attention_heads, config.attention_head_dim
            size = config.num_layers, frames, grid.tokens, *heads
            return torch.zeros(size, dtype=backbone.dtype, device=backbone.device)

        self._grid = grid
        self._fixed = shape.fixed
        self._turned = empty(shape.seen)
        self._values = empty(shape.slots if shape.gathers else shape.seen)
        self._seen_values = empty(shape.seen) if shape.gathers else self._values
        self._keys = self._turned if shape.fixed else empty(shape.slots)

    @property
    def num_bytes(self) -> int:
        """Size; constant."""
        tensors = {id(t): t for t in (self._keys, self._turned, self._values, self._seen_values)}
        return sum(t.numel() * t.element_size() for t in tensors.values())

    def put(self, layer: int, slot: int, index: int, kv: KeyValue, position: int) -> None:
        """Remember frame number `index` of a pass that computed `kv` in a layer, unrotated."""
        tokens = slice(index * self._grid.tokens, (index + 1) * self._grid.tokens)
        own = kv.k[:, tokens]
        if self._fixed:
            own = rotate(own, rotary((position,), self._grid, own.shape[-1], own.device))
        self._keys[layer, slot] = own[0]
        self._values[layer, slot] = kv.v[0, tokens]

    def fill(self, layer: int, kv: KeyValue, positions: tuple[int, ...]) -> None:
        """Remember the frames of a pass in the first slots of one layer; for keys that are rotated once."""
        angles = rotary(positions, self._grid, kv.k.shape[-1], kv.k.device)
        count = len(positions)
        self._keys[layer, :count] = rotate(kv.k, angles)[0].unflatten(0, (count, -1))
        self._values[layer, :count] = kv.v[0].unflatten(0, (count, -1))

    def fold(self, layer: int, slot: int, into: int, alpha: float) -> None:
        """`into ← alpha·into + (1 − alpha)·slot`, keys and values of a layer."""
        for tensor in (self._keys[layer], self._values[layer]):
            tensor[into] = alpha * tensor[into] + (1 - alpha) * tensor[slot]

    def context(self, slots: Sequence[int], positions: tuple[int, ...], new: int) -> tuple[KeyValue, ...]:
        """For each layer the frames in `slots`, standing at `positions`, and room for `new` more behind them.

        The answer is a view: it lasts until the next call. Slots that are not the first ones in order are gathered.
        """
        count = len(slots)
        where = slice(count) if list(slots) == list(range(count)) else list(slots)
        if self._seen_values is not self._values:
            self._seen_values[:, :count] = self._values[:, where]
        if not self._fixed and count:
            angles = rotary(positions, self._grid, self._keys.shape[-1], self._keys.device)
            for layer, keys in enumerate(self._keys):
                self._turned[layer, :count] = rotate(keys[where].flatten(0, 1)[None], angles).view_as(
                    self._turned[layer, :count]
                )
        end = count + new
        return tuple(
            KeyValue(k[:end].flatten(0, 1)[None], v[:end].flatten(0, 1)[None])
            for k, v in zip(self._turned, self._seen_values, strict=True)
        )

    def read(self, count: int) -> tuple[Tensor, Tensor]:
        """Copies of the first `count` slots: keys and values `[Y, F, N, H, D]`."""
        return self._keys[:, :count].clone(), self._values[:, :count].clone()

    def write(self, keys: Tensor, values: Tensor) -> bool:
        """Fill the first slots with what `read` returned; False when it does not fit."""
        fits = keys.shape == values.shape == (self._keys.shape[0], keys.shape[1], *self._keys.shape[2:])
        if not fits or keys.shape[1] > min(self._keys.shape[1], self._values.shape[1]):
            return False
        self._keys[:, : keys.shape[1]] = keys.to(self._keys)
        self._values[:, : keys.shape[1]] = values.to(self._values)
        return True
