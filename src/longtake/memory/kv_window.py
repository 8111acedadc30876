"""A rolling window of keys and values with attention sinks.

The first latent frames (the sink) are kept for ever, the rest is a window that rolls. Keys are kept unrotated and
rotated anew for each block, at positions counted inside the window; so the length of a take is unbounded and the sink
always stands right before the window (window-relative positions, as in LongLive's infinite variant and
Infinity-RoPE, arXiv 2511.20649; sinks after StreamingLLM, arXiv 2309.17453).

Shapes: Y layers, F remembered frames, N tokens a frame, H heads, D head channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Context, KVContext
from longtake.models.attention import CachedContext, Grid, KeyValue, View, rotary, rotate
from longtake.models.wan import TextContext, WanTransformer


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowRule:
    """Which latent frames a block sees. The cache and its uncached oracle both follow this one rule."""

    window: int
    """Most latent frames that attention sees: sink, recent frames and the block itself."""
    sink: int
    """Frames from the start of the take that are never forgotten."""
    block: int
    """Latent frames made together."""

    def __post_init__(self) -> None:
        if self.block < 1 or self.sink < 0 or self.window < self.sink + self.block:
            raise UserError(
                f"window {self.window} cannot hold sink {self.sink} and block {self.block} (at least 1); "
                f"use a window of {max(1, self.block) + max(0, self.sink)} or more"
            )

    def kept(self, count: int) -> tuple[int, ...]:
        """Of the first `count` frames of a take, those that the next block still sees."""
        room = self.window - self.block
        if count <= room:
            return tuple(range(count))
        return (*range(self.sink), *range(count - (room - self.sink), count))

    def view(self, block: Sequence[int]) -> View:
        """What the block of consecutive frames `block` sees, its own frames last."""
        frames = (*self.kept(block[0]), *block)
        return View(frames=frames, positions=tuple(range(len(frames))))


class KVWindow:
    """The cache behind a `WindowRule`: preallocated, one slot a latent frame, nothing is ever moved."""

    needs_pixels = False

    def __init__(
        self, backbone: WanTransformer, grid: Grid, rule: WindowRule, *, context_timestep: float = 0.0
    ) -> None:
        config = backbone.config
        self._backbone = backbone
        self._grid = grid
        self._rule = rule
        self._context_timestep = context_timestep
        self._slots: dict[int, int] = {}
        shape = (
            config.num_layers,
            rule.window,
            grid.tokens,
            config.num_attention_heads,
            config.attention_head_dim,
        )
        self._keys = torch.zeros(shape, dtype=backbone.dtype, device=backbone.device)
        self._values = torch.zeros_like(self._keys)

    @property
    def num_bytes(self) -> int:
        """Size of the cache; constant over the life of a take."""
        return 2 * self._keys.numel() * self._keys.element_size()

    def read(self, frames: Sequence[int]) -> Context:
        """See `Memory.read`."""
        view = self._rule.view(frames)
        past = view.frames[: -len(frames)]
        if list(past) != list(self._slots):
            raise ValueError(
                f"asked for {list(frames)} with {list(self._slots)} remembered; blocks must follow on"
            )
        keys, values = self._gather()
        angles = rotary(view.positions[: len(past)], self._grid, keys.shape[-1], keys.device)
        layers = tuple(
            KeyValue(rotate(k.flatten(0, 1)[None], angles), v.flatten(0, 1)[None])
            for k, v in zip(keys, values, strict=True)
        )
        return Context(kv=KVContext(past=layers, positions=view.positions[len(past) :]))

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None = None
    ) -> None:
        """One more pass over the clean latents at the context timestep, whose keys and values are kept."""
        context = self.read(frames).kv
        assert context is not None
        rule = CachedContext(grid=self._grid, positions=context.positions, past=context.past)
        timestep = torch.full((1, len(frames)), self._context_timestep, device=self._backbone.device)
        self._backbone(latents.to(self._backbone.dtype), timestep, text, attention=rule)
        self._store(frames, rule.new)

    def _store(self, frames: Sequence[int], layers: Sequence[KeyValue]) -> None:
        kept = self._rule.kept(frames[-1] + 1)
        self._slots = {frame: slot for frame, slot in self._slots.items() if frame in kept}
        free = iter(sorted(set(range(self._rule.window)) - set(self._slots.values())))
        for index, frame in enumerate(frames):
            if frame in kept:
                self._slots[frame] = slot = next(free)
                tokens = slice(index * self._grid.tokens, (index + 1) * self._grid.tokens)
                for layer, (k, v) in enumerate(layers):
                    self._keys[layer, slot] = k[0, tokens]
                    self._values[layer, slot] = v[0, tokens]

    def _gather(self) -> tuple[Tensor, Tensor]:
        """Keys and values `[Y, F, N, H, D]` of the remembered frames in the order of time."""
        slots = list(self._slots.values())
        return self._keys[:, slots], self._values[:, slots]

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        keys, values = self._gather()
        return {"frames": torch.tensor(list(self._slots), dtype=torch.int64), "keys": keys, "values": values}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`. Raises UserError for a snapshot of another model or window."""
        keys, values, frames = tensors["keys"], tensors["values"], tensors["frames"].tolist()
        fits = keys.shape == values.shape == (self._keys.shape[0], len(frames), *self._keys.shape[2:])
        if not fits or len(frames) > self._rule.window:
            raise UserError(
                f"the snapshot's memory {list(keys.shape)} does not fit this model "
                f"{list(self._keys.shape)}; restore it with the model and settings that it was made with"
            )
        self._slots = {frame: slot for slot, frame in enumerate(frames)}
        self._keys[:, : len(frames)] = keys.to(self._keys)
        self._values[:, : len(frames)] = values.to(self._values)
