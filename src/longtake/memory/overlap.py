"""What one rollout hands to the next (CausVid's long video).

Each rollout is remembered from its own start. It begins with the last latent frames of the one before it; the first of
them stands for a single pixel frame, as the first latent frame of every video does, so it is the codec's own encoding
of the pixel frame that it ends on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from longtake.memory import Context, Memory
from longtake.memory.recompute import EncodeFrame
from longtake.models.wan import TextContext


class OverlapMemory:
    """Another memory, begun anew with each rollout, and the end of the rollout before."""

    needs_pixels = True

    def __init__(
        self, inside: Memory, *, rollout: int, shared: int, encode: EncodeFrame, temporal_stride: int
    ) -> None:
        """rollout: latent frames of one. shared: those of two in a row. encode, temporal_stride: of the codec."""
        self._inside = inside
        self._empty = inside.snapshot()
        self._rollout, self._shared = rollout, shared
        self._encode = encode
        self._kept_pixels = 1 + temporal_stride * (shared - 1)
        self._pixels: Tensor | None = None
        self._latents: Tensor | None = None
        self._carried: Tensor | None = None

    @property
    def num_bytes(self) -> int:
        """Size of the cache; constant."""
        return self._inside.num_bytes

    @property
    def carried(self) -> Tensor:
        """`[1, C, shared, H, W]`: what the rollout after the last whole one begins with."""
        if self._carried is None:
            raise ValueError("no rollout is over yet")
        return self._carried

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`. Frames are counted through all rollouts, shared ones in each of both."""
        return self._inside.read(self._local(frames), text)

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None
    ) -> None:
        """See `Memory.commit`. `pixels` `uint8 [1, T, H, W, 3]` are needed."""
        if pixels is None:
            raise ValueError("overlapping rollouts need the decoded frames")
        local = self._local(frames)
        if local.start == 0:
            self._inside.restore(self._empty)
        self._inside.commit(local, latents, text, pixels)
        self._pixels = _last(self._pixels, pixels, 1, self._kept_pixels)
        self._latents = _last(self._latents, latents, 2, self._shared)
        if local.stop == self._rollout:
            first = self._encode(self._pixels[:, :1]).to(self._latents)
            self._carried = torch.cat([first, self._latents[:, :, 1:]], 2)

    def _local(self, frames: Sequence[int]) -> range:
        start = frames[0] % self._rollout
        return range(start, start + len(frames))

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        tensors = {f"inside.{key}": value for key, value in self._inside.snapshot().items()}
        own = {"pixels": self._pixels, "latents": self._latents, "carried": self._carried}
        return tensors | {key: value.clone() for key, value in own.items() if value is not None}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`."""
        prefix = "inside."
        self._inside.restore({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        self._pixels, self._latents = tensors.get("pixels"), tensors.get("latents")
        self._carried = tensors.get("carried")


def _last(before: Tensor | None, new: Tensor, dim: int, count: int) -> Tensor:
    """The last `count` of what came before and what is new, along `dim`."""
    everything = new if before is None else torch.cat([before, new.to(before)], dim)
    length = everything.shape[dim]
    return everything.narrow(dim, max(0, length - count), min(count, length)).clone()
