"""Memories side by side: one a row of a stream batch, each with keys and values at its row's noise level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from longtake.memory import Context, KeepingMemory
from longtake.models.wan import TextContext


@dataclass(frozen=True)
class RowMemories:
    """What the rows of a batch remember. They are read and kept one by one, so `commit` has nothing to do."""

    rows: tuple[KeepingMemory, ...]
    """The memory of each row, the noisiest first."""

    needs_pixels = False

    @property
    def num_bytes(self) -> int:
        """Size of all caches; constant."""
        return sum(row.num_bytes for row in self.rows)

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """What the noisiest row may know of the past."""
        return self.rows[0].read(frames, text)

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None = None
    ) -> None:
        """Nothing: a row remembers its frame when it has been denoised."""

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        return {
            f"{i}.{key}": value for i, row in enumerate(self.rows) for key, value in row.snapshot().items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`."""
        for i, row in enumerate(self.rows):
            prefix = f"{i}."
            row.restore({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
