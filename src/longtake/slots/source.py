"""A video that the take is made from (video-to-video), live or from a file.

Its pictures are encoded block by block by the codec's streaming encoder, as they are needed. The end of the source is
the end of the take; where it ends inside a block, the last picture is repeated and what was made of it is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.footage import Picture
from longtake.models.codec import Codec, frames_for_latents
from longtake.sampling.given import Given, check_strength
from longtake.slots.motion import REACH, NoiseController


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRule:
    """How the source acts on every block."""

    strength: float
    """How much of it is replaced by noise."""
    begin_below: float | None = None
    """The first step is taken so many timesteps below 1000·strength; None: where the sampler's list has one."""
    motion: bool = False
    """Whether motion lowers the strength."""
    path: str | None = None
    """The file, where it is one; a restored take opens it again."""

    def __post_init__(self) -> None:
        check_strength(self.strength)
        least = (self.begin_below or 0) / 1000 + (REACH if self.motion else 0)
        if self.strength <= least:
            raise UserError(
                f"strength {self.strength:g} is too low for this model; use more than {least:g}, up to 1"
            )


class Source:
    """See the module's text."""

    kind = "source"
    opening = None

    def __init__(self, pictures: Iterator[Picture], codec: Codec, rule: SourceRule) -> None:
        self.rule = rule
        self._pictures = pictures
        self._codec = codec
        self._stream = codec.start()
        self._waiting: list[Picture] = []
        self._last: Picture | None = None
        self._pulled = 0
        self._is_over = False
        self._noise = NoiseController.start(rule.strength)

    @property
    def pulled(self) -> int:
        """Pictures that have been taken from the source."""
        return self._pulled

    @property
    def num_frames(self) -> int | None:
        """See `Slot.num_frames`: known when the source has ended."""
        return self._pulled if self._is_over else None

    def fetch(self, stop: int) -> None:
        """See `Slot.fetch`."""
        needed = frames_for_latents(stop, self._codec.temporal_stride)
        while self._pulled < needed and not self._is_over:
            picture = next(self._pictures, None)
            if picture is None:
                self._is_over = True
            else:
                self._waiting.append(picture)
                self._pulled += 1
        if not self._pulled:
            raise UserError("the source video has no frames; give one with at least 1")

    def give(self, frames: range, given: Given) -> Given:
        """See `Slot.give`. Frames that were given before, and those after the end, have no part in it."""
        encoded = self._stream.encoder.position
        missing = range(max(encoded, frames.start), frames.stop)
        if not missing or not self._waiting:
            return given
        pictures = self._take(len(missing), first=encoded == 0)
        strength, begin = self._level(pictures)
        self._last = pictures[-1]
        device = next(self._codec.parameters()).device
        latents = self._codec.encode(torch.from_numpy(pictures)[None].to(device), self._stream)
        return replace(given, source=latents.to("cpu", torch.float32), strength=strength, begin=begin)

    def _take(self, latents: int, *, first: bool) -> Picture:
        """`[T, H, W, 3]`: the pictures of the next latent frames, the last repeated where the source ended."""
        stride = self._codec.temporal_stride
        count = frames_for_latents(latents, stride) if first else stride * latents
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return np.stack([*taken, *[taken[-1]] * (count - len(taken))])

    def _level(self, pictures: Picture) -> tuple[float, float | None]:
        """Strength and timestep of the first step for a block of these pictures."""
        strength, below = self.rule.strength, self.rule.begin_below
        if self.rule.motion:
            before = pictures[:0] if self._last is None else self._last[None]
            strength = self._noise.look(np.concatenate([before, pictures]))
        return strength, None if below is None else int(1000 * strength) - below

    def snapshot(self) -> dict[str, Tensor]:
        """See `Slot.snapshot`. Pictures that were taken and not yet used are part of it."""
        tensors = {f"codec.{key}": value for key, value in self._stream.snapshot().items()}
        tensors["counts"] = torch.tensor([self._pulled, self._is_over], dtype=torch.int64)
        tensors["strength"] = torch.tensor(self._noise.strength, dtype=torch.float64)
        if self._waiting:
            tensors["waiting"] = torch.from_numpy(np.stack(self._waiting))
        if self._last is not None:
            tensors["last"] = torch.from_numpy(self._last.copy())
        return tensors

    def to_dict(self) -> dict[str, Any]:
        """See `Slot.to_dict`."""
        return asdict(self.rule)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Return to the moment of `snapshot`. The pictures must go on where the source stood then."""
        codec = {
            key.removeprefix("codec."): value for key, value in tensors.items() if key.startswith("codec.")
        }
        self._stream.restore(codec)
        pulled, is_over = tensors["counts"].tolist()
        self._pulled, self._is_over = pulled, bool(is_over)
        self._noise.strength = float(tensors["strength"])
        self._waiting = list(tensors["waiting"].numpy()) if "waiting" in tensors else []
        self._last = tensors["last"].numpy() if "last" in tensors else None
