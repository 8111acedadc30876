"""What a chunk may know of the past. One file per idea; all pass `tests/memory/test_memory_contract.py`.

A memory is asked before a block is denoised (`read`) and told when it is final (`commit`). Everything it remembers is
in its `snapshot`, so that a take can be stopped, moved to another process and taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from longtake.models.attention import KeyValue
from longtake.models.wan import TextContext


@dataclass(frozen=True, kw_only=True, slots=True)
class KVContext:
    """Keys and values that a block's self-attention sees beside its own."""

    past: tuple[KeyValue, ...]
    """One entry a layer, keys rotated; `[1, S, H, D]`, where S may be 0."""
    positions: tuple[int, ...]
    """Temporal index of each new latent frame, relative to the same origin as the keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a memory gives a block, by kind. A kind that a method does not use is None."""

    kv: KVContext | None = None
    """Key-value cache."""


class Memory(Protocol):
    """The memory of one take."""

    needs_pixels: bool
    """True when `commit` must be given decoded frames, so that it cannot run before the codec."""

    def read(self, frames: Sequence[int]) -> Context:
        """What the latent frames `frames` (consecutive, the next to be made) may know. Changes nothing."""
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
