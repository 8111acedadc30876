"""The end of one clip as the beginning of the next: its last latent frames, or its last pixel frame encoded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from longtake.memory import Context
from longtake.memory.recompute import EncodeFrame
from longtake.models.wan import TextContext


class Tail:
    """Keeps what the next clip begins with; `Context.prefix` gives it."""

    def __init__(self, *, frames: int = 1, encode: EncodeFrame | None = None) -> None:
        """frames: latent frames that are kept. encode: keep the last pixel frame instead, encoded by this."""
        self.needs_pixels = encode is not None
        self._frames, self._encode = frames, encode
        self._kept: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        """Size of the latents; constant after the first clip."""
        return 0 if self._kept is None else self._kept.nbytes

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`."""
        return Context(prefix=self._kept)

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None
    ) -> None:
        """See `Memory.commit`."""
        if self._encode is None:
            self._kept = latents[:, :, -self._frames :].clone()
        elif pixels is None:
            raise ValueError("going on from the last pixel frame needs the decoded frames")
        else:
            self._kept = self._encode(pixels[:, -1:])

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        return {} if self._kept is None else {"kept": self._kept.clone()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`."""
        self._kept = tensors.get("kept")
