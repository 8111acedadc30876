"""A clip that the take goes on from: the last pictures of a video, as the clean latents of its beginning.

They are encoded once, as a stream of their own, and become the take's first chunks: decoded, so that the codec goes on
from them, and remembered, as if the model had made them. What the codec loses is lost once; nothing is encoded again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.footage import Picture
from longtake.models.codec import Codec, frames_for_latents
from longtake.models.intake import ClipLengths
from longtake.sampling.given import Given


@dataclass(kw_only=True, slots=True)
class Clip:
    """See the module's text."""

    latents: Tensor
    """`[1, C, T, H, W]`."""

    kind = "clip"
    num_frames = None

    @classmethod
    def encode(cls, frames: Picture, codec: Codec) -> Clip:
        """Encode what `tail` has left of a clip."""
        device = next(codec.parameters()).device
        latents = codec.encode(torch.from_numpy(frames)[None].to(device), codec.start())
        return cls(latents=latents.to("cpu", torch.float32))

    @property
    def opening(self) -> Tensor | None:
        """See `Slot.opening`."""
        return self.latents

    def fetch(self, stop: int) -> None:
        """See `Slot.fetch`. There is nothing to wait for."""

    def give(self, frames: range, given: Given) -> Given:
        """See `Slot.give`. Blocks after the clip know it from the memory."""
        return given

    def snapshot(self) -> dict[str, Tensor]:
        """See `Slot.snapshot`."""
        return {"latents": self.latents.clone()}

    def to_dict(self) -> dict[str, Any]:
        """See `Slot.to_dict`."""
        return {}

    @classmethod
    def from_dict(cls, tensors: Mapping[str, Tensor]) -> Clip:
        """What `snapshot` describes."""
        return cls(latents=tensors["latents"])


def tail(pictures: Iterable[Picture], lengths: ClipLengths, stride: int) -> Picture:
    """`[T, H, W, 3]`: as many of the last pictures as make whole latent frames, at most what the model looks back on.

    stride: pixel frames of a latent frame after the first. Raises UserError for fewer than the model needs.
    """
    least = frames_for_latents(lengths.least, stride)
    kept = deque(pictures, maxlen=frames_for_latents(lengths.most, stride))
    if len(kept) < least:
        raise UserError(
            f"the clip to go on from has {len(kept)} frames at the model's frame rate, it needs {least}; "
            "give a longer one"
        )
    latents = 1 + (len(kept) - 1) // stride
    whole = latents - (latents - lengths.least) % lengths.step
    return np.stack(list(kept)[-frames_for_latents(whole, stride) :])
