"""A piece of finished video, and who watches it being made."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from longtake.timeline import Receipt


@dataclass(kw_only=True, slots=True)
class Timings:
    """Wall-clock seconds that the parts of a chunk took."""

    text: float = 0.0
    """Encoding prompts."""
    source: float = 0.0
    """Waiting for a source video and encoding it."""
    denoise: float = 0.0
    """The sampler, with every network evaluation in it."""
    decode: float = 0.0
    """Latents to pixels; beside the next chunk's denoising, where that is on."""
    commit: float = 0.0
    """Writing the chunk into the memory."""

    @property
    def total(self) -> float:
        return self.text + self.source + self.denoise + self.decode + self.commit


@dataclass(kw_only=True, slots=True)
class Watch:
    """Adds the time since the last call to one of the timings."""

    timings: Timings = field(default_factory=Timings)
    last: float = field(default_factory=time.perf_counter)

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        setattr(self.timings, part, getattr(self.timings, part) + now - self.last)
        self.last = now


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of finished video."""

    index: int
    """Number of the chunk, from 0."""
    frames: NDArray[np.uint8]
    """`[T, H, W, 3]`, RGB."""
    start_frame: int
    """Index of its first frame in the take."""
    fps: int
    """Frames a second."""
    receipts: tuple[Receipt, ...]
    """Receipts that changed at this chunk."""
    timings: Timings
    """Where the time went."""
    latents: Tensor
    """`[1, C, T, H, W]`, what the frames were decoded from (never trimmed)."""
    anchors: tuple[int, ...] = ()
    """Pixel frames of the take that its memory held on to while this was made; empty for memories that do not."""

    @property
    def start_time(self) -> float:
        """Media seconds of its first frame."""
        return self.start_frame / self.fps


class Observer(Protocol):
    """Watches a take: called with every chunk, before the consumer gets it."""

    def __call__(self, chunk: Chunk) -> None: ...


class Recorder(Protocol):
    """Writes down what a take is told, before the take obeys: a journal."""

    def accept(self, receipt: Receipt) -> None:
        """A direction is about to be accepted. What this raises refuses it."""
        ...
