"""What a chunk may know of the past. One file per idea; all pass `tests/memory/test_memory_contract.py`.

A memory is asked before a block is denoised (`read`) and told when it is final (`commit`). Everything it remembers is
in its `snapshot`, so that a take can be stopped, moved to another process and taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from longtake.models.attention import AttentionRule, CachedContext, Grid, KeyValue, Record
from longtake.models.wan import TextContext


@dataclass(frozen=True, kw_only=True, slots=True)
class KVContext:
    """Keys and values that a block's self-attention sees beside its own."""

    grid: Grid
    """Tokens of a latent frame."""
    past: tuple[KeyValue, ...]
    """One entry a layer, keys rotated; `[1, P + S, H, D]`: P known tokens, where P may be 0, and room for the block."""
    positions: tuple[int, ...]
    """Temporal index of each new latent frame, relative to the same origin as the keys."""
    bias: Tensor | None = None
    """`[1, P + S]`, added to the logits of each key."""

    def rule(self, record: Record | None = None) -> AttentionRule:
        """The attention of forward passes over the block; `record` is told what each layer computes for it."""
        return CachedContext(
            grid=self.grid, positions=self.positions, past=self.past, bias=self.bias, record=record
        )

    @property
    def known(self) -> tuple[KeyValue, ...]:
        """`past` without the room: `[1, P, H, D]`."""
        room = len(self.positions) * self.grid.tokens
        return tuple(KeyValue(k[:, :-room], v[:, :-room]) for k, v in self.past)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorContext:
    """Tokens of the frames that a take holds on to, which cross-attention reads beside the text."""

    tokens: Tensor
    """`[1, I, C]`."""
    null: Tensor
    """`[1, I, C]`, of no anchor; guidance leads away from it."""
    frames: tuple[int, ...]
    """Pixel frames of the take that the tokens are of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a memory gives a block, by kind. A kind that a method does not use is None."""

    kv: KVContext | None = None
    """Key-value cache."""
    prefix: Tensor | None = None
    """`[1, C, P, H, W]`, clean latents of the first P frames of what is made next."""
    features: Tensor | None = None
    """`[1, C, P, H, W]`, the last frames of the past as the network's own encoder reads them."""
    anchor: AnchorContext | None = None
    """What the take holds on to."""


class Memory(Protocol):
    """The memory of one take."""

    @property
    def needs_pixels(self) -> bool:
        """True when `commit` must be given decoded frames, so that it cannot run before the codec."""
        ...

    @property
    def num_bytes(self) -> int:
        """Size of what is held; constant over the life of a take."""
        ...

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """What the latent frames `frames` (consecutive, the next to be made) may know when made under `text`.

        Under a new prompt a memory may change what it remembers; asked again, it gives the same. The answer lasts
        until the next call of any method.
        """
        ...

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None
    ) -> None:
        """Remember final latent frames: clean `latents [1, C, T, H, W]` made under `text`."""
        ...

    def snapshot(self) -> dict[str, Tensor]:
        """Everything remembered, as named tensors independent of this object."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Return to the moment of `snapshot`."""
        ...


class KeepingMemory(Memory, Protocol):
    """A memory that can take keys and values from any pass, rather than from one of its own."""

    def keep(self, frames: Sequence[int], layers: Sequence[KeyValue]) -> None:
        """Remember the frames of a pass that has just been made, by what its rule recorded in each layer."""
        ...
