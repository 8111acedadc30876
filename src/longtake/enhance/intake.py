"""Latents that arrive, cut into windows as soon as each is whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from longtake.enhance.tiling import Tiling


class Arrived(NamedTuple):
    """A window that can begin."""

    number: int
    frames: range
    clean: Tensor
    """`[1, C, T, H, W]`, latents of the video that is enhanced."""


class Intake:
    """Holds the latents from the newest window's first frame on, no more."""

    def __init__(self, tiling: Tiling) -> None:
        self.tiling = tiling
        self._held: Tensor | None = None
        self._first = 0
        self._begun = 0

    @property
    def arrived(self) -> int:
        """Latent frames that have come."""
        return self._first + (0 if self._held is None else self._held.shape[2])

    def push(self, latents: Tensor) -> Iterator[Arrived]:
        """Take the next `[1, C, n, H, W]`; the windows that are whole now."""
        self._held = latents if self._held is None else torch.cat([self._held, latents], dim=2)
        while (frames := self.tiling.regular(self._begun)).stop <= self.arrived:
            self._drop(frames.start)
            yield self._begin(frames)

    def finish(self) -> Arrived | None:
        """The slid window at the end, where frames are left. Raises UserError when the video is too short."""
        last = self.tiling.last(self.arrived)
        if self._begun and last == self.tiling.regular(self._begun - 1):
            return None
        return self._begin(last)

    def _begin(self, frames: range) -> Arrived:
        assert self._held is not None
        clean = self._held[:, :, frames.start - self._first : frames.stop - self._first]
        self._begun += 1
        return Arrived(number=self._begun - 1, frames=frames, clean=clean)

    def _drop(self, before: int) -> None:
        assert self._held is not None
        self._held, self._first = self._held[:, :, before - self._first :].clone(), before

    def tensors(self) -> dict[str, Tensor]:
        """For a snapshot."""
        counts = {"intake.counts": torch.tensor([self._first, self._begun], dtype=torch.int64)}
        return counts if self._held is None else counts | {"intake.held": self._held.clone()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Return to the moment of `tensors`."""
        self._first, self._begun = tensors["intake.counts"].tolist()
        held = tensors.get("intake.held")
        self._held = None if held is None else held.clone()
