"""A rolling window of keys and values with attention sinks.

The first latent frames (the sink) are kept for ever, the rest is a window that rolls (sinks after StreamingLLM,
arXiv 2309.17453). Where the frames stand in time is decided when they are read: at their own index (Self-Forcing,
arXiv 2506.08009; LongLive, arXiv 2509.22622), or counted inside the window, so that the length of a take is unbounded
and the sink always stands right before the window (LongLive's infinite variant; Infinity-RoPE, arXiv 2511.20649;
Rolling Forcing, arXiv 2509.25161, whose sink is moved before its window). What is forgotten can be folded into the
sink (Reward Forcing, arXiv 2512.04678).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Context, KVContext
from longtake.memory.cache import KVCache
from longtake.memory.logits import past_logits
from longtake.memory.window_rule import WindowRule
from longtake.models.attention import Grid, KeyValue, Record
from longtake.models.wan import TextContext, WanTransformer

__all__ = ["KVWindow", "WindowRule"]


class _Move(NamedTuple):
    """What remembering some frames does to the slots, the same in every layer."""

    folds: list[tuple[int, int]]
    """Slots that are folded into others before they are given away."""
    puts: list[tuple[int, int, int]]
    """Slot, number in the pass and temporal index of each new frame that is kept."""
    frames: list[int]
    """The frame in each slot afterwards."""
    total: int
    """Latent frames committed afterwards."""


class KVWindow:
    """The cache behind a `WindowRule`."""

    needs_pixels = False

    def __init__(
        self,
        backbone: WanTransformer,
        grid: Grid,
        rule: WindowRule,
        *,
        context_timestep: float | None = 0.0,
        bias: float = 1.0,
    ) -> None:
        """context_timestep: of the pass that remembers a block; None when `keep` has done so. bias: weight of the past
        while denoising, but for its first frame."""
        self.backbone = backbone
        self.grid = grid
        self.rule = rule
        self._context_timestep = context_timestep
        self._bias = bias
        self._frames: list[int] = []
        """The frame in each slot that is in use; these are always the first slots."""
        self._count = 0
        self._origin = 0
        self._cache = KVCache(rule.shape, backbone, grid)

    @property
    def num_bytes(self) -> int:
        """Size of the cache; constant over the life of a take."""
        return self._cache.num_bytes

    @property
    def count(self) -> int:
        """Latent frames committed so far."""
        return self._count

    @property
    def origin(self) -> int:
        """First frame of the sink."""
        return self._origin

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`. The context lasts until the next call."""
        self._check_follows(frames)
        return Context(kv=self._context(frames, self._bias))

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None = None
    ) -> None:
        """One more pass over the clean latents at the context timestep, whose keys and values are kept."""
        if self._context_timestep is None and frames[-1] < self._count:
            return
        self._check_follows(frames)
        context, move = self._context(frames, clean=True), self._move(frames)
        self._clean_pass(context, latents, text, partial(self._store, move))
        self._finish(move)

    def keep(self, frames: Sequence[int], layers: Sequence[KeyValue]) -> None:
        """Remember the frames of a pass, by the keys and values `layers` (unrotated, batch 1) that it computed."""
        move = self._move(frames)
        for layer, kv in enumerate(layers):
            self._store(move, layer, kv)
        self._finish(move)

    def rebuild(self, frames: Sequence[range], latents: Tensor, text: TextContext, *, origin: int) -> None:
        """Compute anew what is remembered: clean `latents [1, C, T, H, W]` of consecutive frames, in parts.

        The frames of a part see each other, the parts before them, and the sink where it lies before them: it begins
        at `origin` and is not touched then.
        """
        first = frames[0][0]
        old = [frame for frame in self._frames if origin <= frame < min(first, origin + self.rule.sink)]
        self._frames, self._origin = self._frames[: len(old)], origin
        everything = range(first, self._count)
        places = self.rule.positions(old, everything)
        past = self._cache.context(range(len(old)), places[: len(old)], len(everything))
        passes: list[dict[int, KeyValue]] = []
        done = len(old)
        for part in frames:
            end = done + len(part)
            seen = tuple(
                KeyValue(k[:, : end * self.grid.tokens], v[:, : end * self.grid.tokens]) for k, v in past
            )
            context = KVContext(grid=self.grid, past=seen, positions=places[done:end])
            inside = latents[:, :, part[0] - first : part[0] - first + len(part)]
            passes.append({})
            self._clean_pass(context, inside, text, passes[-1].__setitem__)
            done = end
        move = self._move(everything)
        for layer in passes[0]:
            parts = zip(*(each[layer] for each in passes), strict=True)
            self._store(move, layer, KeyValue(*(torch.cat(part, 1) for part in parts)))
        self._finish(move)

    def _check_follows(self, frames: Sequence[int]) -> None:
        if frames[0] != self._count:
            raise ValueError(
                f"asked for {list(frames)} when {self._count} are remembered; blocks must follow on"
            )

    def _context(self, frames: Sequence[int], bias: float = 1.0, *, clean: bool = False) -> KVContext:
        rule = self.rule
        visible = set(rule.seen(frames[0], len(frames), self._origin, clean=clean))
        slots = [slot for slot, frame in enumerate(self._frames) if frame in visible]
        seen = [self._frames[slot] for slot in slots]
        places = rule.positions(seen, frames)
        first = seen.index(min(seen)) if seen else 0
        return KVContext(
            grid=self.grid,
            past=self._cache.context(slots, places[: len(seen)], len(frames)),
            positions=places[len(seen) :],
            bias=past_logits(bias, len(seen), first, len(frames), self.grid, self.backbone),
        )

    def _clean_pass(self, context: KVContext, latents: Tensor, text: TextContext, record: Record) -> None:
        backbone = self.backbone
        timestep = torch.full((1, latents.shape[2]), self._context_timestep or 0.0, device=backbone.device)
        latents = latents.to(backbone.device, backbone.dtype)
        backbone(latents, timestep, text, attention=context.rule(record))

    def _move(self, frames: Sequence[int]) -> _Move:
        """Decide what is forgotten and where the frames of a pass go: into the lowest slots that are free."""
        rule, count = self.rule, frames[-1] + 1
        kept = set(rule.kept(count, self._origin))
        stay = {slot: frame for slot, frame in enumerate(self._frames) if frame in kept}
        forgotten = sorted(frame for frame in self._frames if frame not in kept)
        free = iter([slot for slot in range(rule.slots) if slot not in stay])
        places = rule.positions(self._frames, frames)[-len(frames) :]
        puts = [(next(free), index, places[index]) for index, frame in enumerate(frames) if frame in kept]
        held = stay | {slot: frames[index] for slot, index, _ in puts}
        return _Move(
            folds=self._folds(forgotten) if rule.alpha is not None else [],
            puts=puts,
            frames=[held[slot] for slot in range(len(held))],
            total=count,
        )

    def _folds(self, forgotten: Sequence[int]) -> list[tuple[int, int]]:
        into = {frame: self._origin + (frame - self._origin) % self.rule.sink for frame in forgotten}
        return [(self._frames.index(frame), self._frames.index(into[frame])) for frame in forgotten]

    def _store(self, move: _Move, layer: int, kv: KeyValue) -> None:
        for slot, into in move.folds:
            self._cache.fold(layer, slot, into, self.rule.alpha or 0.0)
        for slot, index, place in move.puts:
            self._cache.put(layer, slot, index, kv, place)

    def _finish(self, move: _Move) -> None:
        self._frames, self._count = move.frames, move.total

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        keys, values = self._cache.read(len(self._frames))
        where = torch.tensor([self._count, self._origin, *self._frames], dtype=torch.int64)
        return {"frames": where, "keys": keys, "values": values}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`. Raises UserError for a snapshot of another model or window."""
        count, origin, *frames = tensors["frames"].tolist()
        if len(frames) != tensors["keys"].shape[1] or not self._cache.write(
            tensors["keys"], tensors["values"]
        ):
            raise UserError(
                f"the snapshot's memory {list(tensors['keys'].shape)} does not fit this model and its "
                f"{self.rule.slots} slots; restore it with the model and settings that it was made with"
            )
        self._count, self._origin, self._frames = count, origin, frames
