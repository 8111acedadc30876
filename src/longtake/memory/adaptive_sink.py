"""A rolling window whose sink follows the picture (StreamDiffusionV2, arXiv 2511.07399).

When the cache is full, a new frame takes the slot of the oldest frame outside the sink; or, when the frame of the
sink that resembles it least has become too unlike it, the slot of that one. Each layer decides for itself, on its own
keys and values, and what the first pass of a frame decides holds for all its passes. Frames stand at the index that
they had when they were made.

Shapes: Y layers, F slots, N tokens a frame, H heads, D head channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Context, KVContext
from longtake.memory.cache import CacheShape, KVCache
from longtake.memory.logits import past_logits
from longtake.memory.window_rule import WindowRule
from longtake.models.attention import AttentionRule, Grid, KeyValue, Record, attend, rotary, rotate
from longtake.models.wan import TextContext, WanTransformer


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """Which slot gives way to a new frame, layer by layer. Decided on the device, in the first pass."""

    sink: int
    """Slots of the sink, the first ones."""
    threshold: float
    """See `AdaptiveWindow.threshold`."""
    oldest: tuple[int, ...]
    """For each layer the slot of the oldest frame outside the sink."""
    decided: dict[int, Tensor]
    """`[1]`, for each layer the slot that gives way; filled as the layers run."""

    def slot(self, layer: int, slots: KeyValue, new: KeyValue) -> Tensor:
        """The slot for the frame `new [N, H, D]`, given `slots [F, N, H, D]`, all keys rotated."""
        if layer not in self.decided:
            likeness = (_likeness(slots.k[: self.sink], new.k) + _likeness(slots.v[: self.sink], new.v)) / 2
            least, where = likeness.min(0, keepdim=True)
            oldest = torch.full_like(where, self.oldest[layer])
            self.decided[layer] = torch.where(least < self.threshold, where, oldest)
        return self.decided[layer]


def _likeness(frames: Tensor, new: Tensor) -> Tensor:
    """Cosine of the token means of `frames [F, N, H, D]` with that of `new [N, H, D]` → `[F]`."""
    means, mean = frames.float().mean(1).flatten(1), new.float().mean(0).flatten()
    return F.cosine_similarity(means, mean[None], dim=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class FullCache:
    """One new frame beside a cache that is full: it takes the slot that gives way and sees all slots."""

    grid: Grid
    positions: tuple[int, ...]
    """Temporal index of the new frame."""
    past: tuple[KeyValue, ...]
    """For each layer all slots, `[1, F·N, H, D]`, keys rotated; written in every pass."""
    bias: Tensor | None
    """`[1, F·N]`, added to the logits of each key."""
    contest: Contest
    record: Record | None

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.record is not None:
            self.record(layer, KeyValue(k, v))
        angles = rotary(self.positions, self.grid, q.shape[-1], q.device)
        q, k = rotate(q, angles), rotate(k, angles)
        slots = KeyValue(*(part[0].unflatten(0, (-1, self.grid.tokens)) for part in self.past[layer]))
        slot = self.contest.slot(layer, slots, KeyValue(k[0], v[0]))
        rows = []
        for row, key, value in zip(q.split(1), k.split(1), v.split(1), strict=True):
            slots.k.index_copy_(0, slot, key)
            slots.v.index_copy_(0, slot, value)
            rows.append(attend(row, *self.past[layer], self.bias))
        return torch.cat(rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class FullContext(KVContext):
    """What a full cache gives a block."""

    contest: Contest

    def rule(self, record: Record | None = None) -> AttentionRule:
        """See `KVContext.rule`."""
        return FullCache(
            grid=self.grid,
            positions=self.positions,
            past=self.past,
            bias=self.bias,
            contest=self.contest,
            record=record,
        )

    @property
    def known(self) -> tuple[KeyValue, ...]:
        """See `KVContext.known`."""
        return self.past


class AdaptiveSink:
    """The cache of such a window: one frame at a time, at absolute positions."""

    needs_pixels = False

    def __init__(
        self,
        backbone: WanTransformer,
        grid: Grid,
        rule: WindowRule,
        *,
        threshold: float,
        context_timestep: float | None = None,
        bias: float = 1.0,
    ) -> None:
        """context_timestep: of the pass that remembers a frame; None when `keep` has done so. bias: weight of the past
        while denoising, but for the first slot."""
        self._backbone = backbone
        self._grid = grid
        self._rule = rule
        self._threshold = threshold
        self._context_timestep = context_timestep
        self._bias = bias
        self._count = 0
        self._frames = torch.zeros(backbone.config.num_layers, 0, dtype=torch.int64)
        """`[Y, F]`, the frame in each slot that is in use."""
        self._decided: dict[int, Tensor] = {}
        """What the passes of the next frame have decided."""
        self._cache = KVCache(shape_of(rule), backbone, grid)

    @property
    def num_bytes(self) -> int:
        """Size of the cache; constant over the life of a take."""
        return self._cache.num_bytes

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`. Passes over the frame write into the cache, the last one stays."""
        return Context(kv=self._context(frames, self._bias))

    def _context(self, frames: Sequence[int], bias: float) -> KVContext:
        if list(frames) != [self._count]:
            raise ValueError(
                f"asked for {list(frames)} when {self._count} are remembered; frames must follow on"
            )
        used, window = self._frames.shape[1], self._rule.window
        position, past = self._rule.positions((), frames), min(used, window - 1)
        cached = self._cache.context(range(past), (), 1)
        added = past_logits(bias, past, 0, 1, self._grid, self._backbone)
        if used < window:
            return KVContext(grid=self._grid, past=cached, positions=position, bias=added)
        oldest = self._frames[:, self._rule.sink :].argmin(1) + self._rule.sink
        contest = Contest(
            sink=self._rule.sink,
            threshold=self._threshold,
            oldest=tuple(oldest.tolist()),
            decided=self._decided,
        )
        return FullContext(grid=self._grid, past=cached, positions=position, bias=added, contest=contest)

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None = None
    ) -> None:
        """One more pass over the clean latents; nothing when `keep` remembers."""
        if self._context_timestep is None and frames[-1] < self._count:
            return
        backbone, rule = self._backbone, self._context(frames, 1.0).rule()
        timestep = torch.full((1, 1), self._context_timestep or 0.0, device=backbone.device)
        backbone(latents.to(backbone.device, backbone.dtype), timestep, text, attention=rule)
        self.keep(frames)

    def keep(self, frames: Sequence[int], layers: Sequence[KeyValue] = ()) -> None:
        """Remember the frame of the last pass, which is in the cache already."""
        used = self._frames.shape[1]
        if used < self._rule.window:
            self._frames = F.pad(self._frames, (0, 1), value=self._count)
        else:
            slots = torch.cat([self._decided[layer] for layer in range(len(self._frames))]).cpu()
            self._frames = self._frames.scatter(1, slots[:, None], self._count)
        self._count += 1
        self._decided = {}

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        keys, values = self._cache.read(self._frames.shape[1])
        return {
            "count": torch.tensor([self._count]),
            "frames": self._frames.clone(),
            "keys": keys,
            "values": values,
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`. Raises UserError for a snapshot of another model or window."""
        fits = tensors["frames"].shape == tensors["keys"].shape[:2]
        if not fits or not self._cache.write(tensors["keys"], tensors["values"]):
            raise UserError(
                f"the snapshot's memory {list(tensors['keys'].shape)} does not fit this model and its window of "
                f"{self._rule.window}; restore it with the model and settings that it was made with"
            )
        (self._count,) = tensors["count"].tolist()
        self._frames, self._decided = tensors["frames"].clone(), {}


def shape_of(rule: WindowRule) -> CacheShape:
    """What the rule asks of the cache: a slot for the new frame as well."""
    return CacheShape(slots=rule.window, seen=rule.window, fixed=True)
