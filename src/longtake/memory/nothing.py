"""No memory: for methods that make the whole video at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from longtake.memory import Context
from longtake.models.wan import TextContext


class Nothing:
    """Remembers nothing."""

    needs_pixels = False
    num_bytes = 0

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`."""
        return Context()

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None
    ) -> None:
        """See `Memory.commit`."""

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`."""
