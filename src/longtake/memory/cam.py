"""Short-term memory: the last frames before a clip, as features (CAM, StreamingT2V, arXiv 2403.14773).

What features are is the network's affair: it brings the encoder. Published, it reads decoded pixels, so every clip goes
through the codec before the next one begins; an encoder of latents needs no pixels. How features enter the network is
its own affair too (attention in the skips of a UNet, in the later blocks of a transformer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Context
from longtake.models.wan import TextContext

EncodeFrames = Callable[[Tensor], Tensor]
"""The last frames before a clip, `uint8 [1, P, H, W, 3]` or latents `[1, C, P, h, w]`, to `[1, C, P, h, w]`."""


class Cam:
    """Keeps the last frames; `Context.features` is None until there are enough of them."""

    def __init__(
        self,
        encode: EncodeFrames,
        *,
        frames: int,
        shape: tuple[int, int, int],
        source: Literal["pixels", "latents"] = "pixels",
    ) -> None:
        """frames: how many, of pixels or latents. shape: of one, `(H, W, 3)` or `(C, h, w)`."""
        self.needs_pixels = source == "pixels"
        self._encode, self._count = encode, frames
        size = (1, frames, *shape) if self.needs_pixels else (1, shape[0], frames, *shape[1:])
        self._frames = torch.zeros(size, dtype=torch.uint8 if self.needs_pixels else torch.float32)
        self._seen = 0

    @property
    def num_bytes(self) -> int:
        """Size of the frames; constant."""
        return self._frames.nbytes

    @property
    def missing(self) -> int:
        """Frames that are still lacking before a clip can go on."""
        return self._count - self._seen

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`. The features are computed now."""
        return Context() if self.missing else Context(features=self._encode(self._frames))

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None
    ) -> None:
        """See `Memory.commit`. `pixels` `uint8 [1, T, H, W, 3]` are needed where the encoder reads them."""
        if self.needs_pixels and pixels is None:
            raise ValueError("this short-term memory needs the decoded frames")
        new, axis = (pixels, 1) if self.needs_pixels and pixels is not None else (latents.float().cpu(), 2)
        both = torch.cat([self._frames, new.to(self._frames.device)], axis)
        self._frames = both.narrow(axis, both.shape[axis] - self._count, self._count).contiguous()
        self._seen = min(self._count, self._seen + new.shape[axis])

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        return {"frames": self._frames.clone(), "seen": torch.tensor(self._seen)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`. Raises UserError for frames of another size."""
        kept = tensors["frames"]
        if kept.shape != self._frames.shape:
            raise UserError(
                f"the snapshot remembers frames {list(kept.shape)}, this model {list(self._frames.shape)}; "
                "restore it with the model and settings that it was taken with"
            )
        self._frames, self._seen = kept.clone(), int(tensors["seen"])
