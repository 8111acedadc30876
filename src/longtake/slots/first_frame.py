"""The first frame of a take, given as a picture (image-to-video).

How a picture enters depends on what the checkpoint was trained for: as known first frame of the first block (a model
trained with clean prefixes), as a block by itself before all others (Self-Forcing's "independent first frame"; models
that make one frame at a time), or repeated until it fills the first block (CausVid, Krea Realtime).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from longtake.footage import Picture
from longtake.models.codec import Codec, frames_for_latents
from longtake.sampling.given import Given

Entry = Literal["prefix", "alone", "repeat"]


@dataclass(kw_only=True, slots=True)
class FirstFrame:
    """See the module's text."""

    entry: Entry
    """How the picture enters."""
    latents: Tensor
    """`[1, C, T, H, W]`; T is 1, or a block where the picture is repeated."""

    kind = "first_frame"
    num_frames = None

    @classmethod
    def encode(cls, picture: Picture, codec: Codec, entry: Entry, block: int) -> FirstFrame:
        """Encode a picture that has the take's size, as a stream of its own."""
        count = frames_for_latents(block, codec.temporal_stride) if entry == "repeat" else 1
        device = next(codec.parameters()).device
        frames = torch.from_numpy(picture.copy()).to(device).expand(1, count, -1, -1, -1)
        return cls(entry=entry, latents=codec.encode(frames, codec.start()).to("cpu", torch.float32))

    @property
    def opening(self) -> Tensor | None:
        """See `Slot.opening`."""
        return None if self.entry == "prefix" else self.latents

    def fetch(self, stop: int) -> None:
        """See `Slot.fetch`. There is nothing to wait for."""

    def give(self, frames: range, given: Given) -> Given:
        """See `Slot.give`."""
        if self.entry != "prefix" or frames.start:
            return given
        return replace(given, prefix=self.latents)

    def snapshot(self) -> dict[str, Tensor]:
        """See `Slot.snapshot`."""
        return {"latents": self.latents.clone()}

    def to_dict(self) -> dict[str, Any]:
        """See `Slot.to_dict`."""
        return {"entry": self.entry}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FirstFrame:
        """What `to_dict` and `snapshot` describe."""
        return cls(entry=values["entry"], latents=tensors["latents"])
