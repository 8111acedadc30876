"""The first picture of a clip, and the last if wanted, as Wan's image-to-video models read them.

They enter twice: as channels beside the latents of every frame (a mask of the pixel frames that are given, and the
latents of a clip that is grey elsewhere), and as image tokens in cross-attention.

Shapes: T latent frames, S pixel frames of one (the codec's stride), C latent channels, I image tokens, D their width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from longtake.footage import Picture
from longtake.models.codec import Codec, to_float
from longtake.models.image_encoder import ImageEncoder
from longtake.sampling.given import Given


@dataclass(kw_only=True, slots=True)
class Pictures:
    """See the module's text."""

    codec: Codec
    first: Tensor
    """`uint8 [H, W, 3]`, in the size of the take."""
    last: Tensor | None = None
    """As `first`; None leaves the end open."""
    tokens: Tensor
    """`[1, I, D]`, of both."""

    kind = "pictures"
    opening = None
    num_frames = None

    @classmethod
    def encode(
        cls, first: Picture, last: Picture | None, codec: Codec, image_encoder: ImageEncoder
    ) -> Pictures:
        """Read pictures that have the take's size."""
        given = [first] if last is None else [first, last]
        pictures = [torch.from_numpy(picture.copy()) for picture in given]
        return cls(
            codec=codec,
            first=pictures[0],
            last=None if last is None else pictures[1],
            tokens=image_encoder.encode(given),
        )

    def fetch(self, stop: int) -> None:
        """See `Slot.fetch`. There is nothing to wait for."""

    def give(self, frames: range, given: Given) -> Given:
        """See `Slot.give`; `frames` is the whole clip."""
        return replace(given, beside=self.channels(len(frames)))

    def channels(self, frames: int) -> Tensor:
        """`[1, S + C, T, h, w]`: mask and latents for a clip of T = `frames` latent frames; float32."""
        latents = self._latents(frames)
        mask = latents.new_zeros(1, self.codec.temporal_stride, *latents.shape[2:])
        mask[:, :, 0] = (
            1  # the first latent frame stands for one pixel frame, which counts for all its places
        )
        if self.last is not None:
            mask[:, -1, -1] = 1
        return torch.cat([mask, latents], 1)

    def _latents(self, frames: int) -> Tensor:
        """Of a clip that is grey but for its first and last pixel frame; encoded frame by frame, in small memory."""
        device, stream = next(self.codec.parameters()).device, self.codec.start()
        first = to_float(self.first[None, None].to(device))
        grey = first.new_zeros(1, 3, self.codec.temporal_stride, *first.shape[3:])
        end = grey.clone()
        if self.last is not None:
            end[:, :, -1:] = to_float(self.last[None, None].to(device))
        clip = [first, *[grey] * (frames - 2), *[end] * (frames > 1)]
        parts = [self.codec.encode(pixels, stream) for pixels in clip]
        return torch.cat(parts, 2).to("cpu", torch.float32)

    def snapshot(self) -> dict[str, Tensor]:
        """See `Slot.snapshot`."""
        pictures = {"first": self.first.clone()}
        if self.last is not None:
            pictures["last"] = self.last.clone()
        return pictures | {"tokens": self.tokens.clone()}

    def to_dict(self) -> dict[str, Any]:
        """See `Slot.to_dict`."""
        return {}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], codec: Codec) -> Pictures:
        """What `snapshot` describes."""
        return cls(codec=codec, first=tensors["first"], last=tensors.get("last"), tokens=tensors["tokens"])
