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

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Context, KVContext
from longtake.memory.cache import KVCache
from longtake.memory.logits import past_logits
from longtake.memory.window_rule import WindowRule
from longtake.models.attention import Grid, KeyValue
from longtake.models.wan import TextContext, WanTransformer

__all__ = ["KVWindow", "WindowRule"]


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
        self.keep(frames, self._clean_pass(self._context(frames, clean=True), latents, text))

    def keep(self, frames: Sequence[int], layers: Sequence[KeyValue]) -> None:
        """Remember the frames of a pass, by the keys and values `layers` (unrotated, batch 1) that it computed."""
        self._count = frames[-1] + 1
        self._store(frames, layers, self.rule.positions(self._frames, frames)[-len(frames) :])

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
        passes, done = [], len(old)
        for part in frames:
            end = done + len(part)
            seen = tuple(
                KeyValue(k[:, : end * self.grid.tokens], v[:, : end * self.grid.tokens]) for k, v in past
            )
            context = KVContext(grid=self.grid, past=seen, positions=places[done:end])
            inside = latents[:, :, part[0] - first : part[0] - first + len(part)]
            passes.append(self._clean_pass(context, inside, text))
            done = end
        layers = [
            KeyValue(*(torch.cat(parts, 1) for parts in zip(*layer, strict=True)))
            for layer in zip(*passes, strict=True)
        ]
        self._store(everything, layers, places[len(old) :])

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

    def _clean_pass(self, context: KVContext, latents: Tensor, text: TextContext) -> list[KeyValue]:
        backbone, rule = self.backbone, context.rule()
        timestep = torch.full((1, latents.shape[2]), self._context_timestep or 0.0, device=backbone.device)
        backbone(latents.to(backbone.device, backbone.dtype), timestep, text, attention=rule)
        return rule.new

    def _store(self, frames: Sequence[int], layers: Sequence[KeyValue], places: Sequence[int]) -> None:
        """Forget what the rule no longer keeps and put the frames of a pass into the slots that are free."""
        rule = self.rule
        kept = set(rule.kept(self._count, self._origin))
        stay = {slot: frame for slot, frame in enumerate(self._frames) if frame in kept}
        self._fold(sorted(frame for frame in self._frames if frame not in kept))
        free = iter([slot for slot in range(rule.slots) if slot not in stay])
        for index, frame in enumerate(frames):
            if frame in kept:
                slot = next(free)
                stay[slot] = frame
                self._cache.put(slot, index, layers, places[index])
        self._frames = [stay[slot] for slot in range(len(stay))]

    def _fold(self, forgotten: Sequence[int]) -> None:
        rule = self.rule
        if rule.alpha is None:
            return
        for frame in forgotten:
            into = self._origin + (frame - self._origin) % rule.sink
            self._cache.fold(self._frames.index(frame), self._frames.index(into), rule.alpha)

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
