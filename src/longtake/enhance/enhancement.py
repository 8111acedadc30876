"""Pixels in, pixels out: one video being enhanced, chunk by chunk, with all its state in one place.

Pictures are enlarged, encoded by the codec's streaming encoder as soon as they fill a latent frame, go through the
windows, and are decoded by its streaming decoder. Where the video ends inside a latent frame the last picture is
repeated, and what was made of it is not shown, so that as many frames come out as went in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.enhance.upscale import Canvas, Kernel
from longtake.enhance.window import Course
from longtake.errors import UserError
from longtake.models.codec import Codec, frames_for_latents

MODES = ("live", "exact")


class LatentStream(Protocol):
    """A mode: `Live` or `Wavefront`."""

    mode: str
    course: Course

    @property
    def delay(self) -> int:
        """Latent frames that must have come before the first leaves."""
        ...

    def push(self, latents: Tensor) -> list[Tensor]:
        """Take the next latents; what is done now."""
        ...

    def finish(self) -> list[Tensor]:
        """The rest."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """For a snapshot."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Return to the moment of `tensors`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhancedChunk:
    """A piece of enhanced video."""

    index: int
    """Number of the chunk, from 0."""
    frames: NDArray[np.uint8]
    """`[T, H, W, 3]`, RGB."""
    start_frame: int
    """Index of its first frame in the video."""
    fps: float
    """Frames a second, those of the video that is enhanced."""
    latents: Tensor
    """`[1, C, T, h, w]`, what the frames were decoded from."""


@dataclass(kw_only=True, slots=True)
class _Progress:
    """Where an enhancement stands; plain numbers of its snapshot."""

    pulled: int = 0
    """Pictures taken from the source."""
    shown: int = 0
    """Frames that have left."""
    chunks: int = 0
    """Chunks that have left."""
    is_over: int = 0
    """Whether the source has ended."""


class Enhancement:
    """One video being enhanced. Iterate it for chunks; endless as long as its source is."""

    def __init__(
        self,
        pictures: Iterator[NDArray[np.uint8]],
        codec: Codec,
        stream: LatentStream,
        *,
        canvas: Canvas,
        fps: float,
        kernel: Kernel = "lanczos",
    ) -> None:
        self.canvas, self.fps = canvas, fps
        self.stream = stream
        self._pictures, self._codec, self._kernel = pictures, codec, kernel
        self._device = next(codec.parameters()).device
        self._state = codec.start()
        self._waiting: list[NDArray[np.uint8]] = []
        self._done: list[Tensor] = []
        self._progress = _Progress()

    @property
    def width(self) -> int:
        """Pixels of the frames that come out."""
        return self.canvas.inner_width

    @property
    def height(self) -> int:
        """Pixels of the frames that come out."""
        return self.canvas.inner_height

    @property
    def delay_frames(self) -> int:
        """Pixel frames that must have come before the first leaves."""
        return frames_for_latents(self.stream.delay, self._codec.temporal_stride)

    @property
    def delay_seconds(self) -> float:
        """The same in media seconds."""
        return self.delay_frames / self.fps

    @property
    def pulled(self) -> int:
        """Pictures taken from the source so far."""
        return self._progress.pulled

    def __iter__(self) -> Iterator[EnhancedChunk]:
        return self

    @torch.inference_mode()
    def __next__(self) -> EnhancedChunk:
        while not self._done:
            if self._progress.is_over:
                raise StopIteration
            self._pull()
        return self._show(self._done.pop(0))

    def _pull(self) -> None:
        """Take pictures for one latent frame, or note that there are no more."""
        count = 1 if self._state.encoder.position == 0 else self._codec.temporal_stride
        while len(self._waiting) < count:
            picture = next(self._pictures, None)
            if picture is None:
                self._finish(count)
                return
            self._waiting.append(picture)
            self._progress.pulled += 1
        self._encode(count)

    def _encode(self, count: int) -> None:
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        large = self.canvas.fill(np.stack(taken), self._kernel)
        latents = self._codec.encode(torch.from_numpy(large)[None].to(self._device), self._state)
        self._done += self.stream.push(latents.to("cpu", torch.float32))

    def _finish(self, count: int) -> None:
        """The end of the source: fill the last latent frame, and let everything out that is on its way."""
        tiling, pulled = self.stream.course.tiling, self._progress.pulled
        least = frames_for_latents(tiling.length - 1, self._codec.temporal_stride) if tiling.length > 1 else 0
        if pulled <= least:
            raise UserError(
                f"the video has {pulled} frames, and a window of the enhancer needs {least + 1}; "
                "give a longer video, or a shorter window"
            )
        if self._waiting:
            self._waiting += [self._waiting[-1]] * (count - len(self._waiting))
            self._encode(count)
        self._done += self.stream.finish()
        self._progress.is_over = 1

    def _show(self, latents: Tensor) -> EnhancedChunk:
        progress = self._progress
        pixels = self._codec.decode(latents.to(self._device), self._state).cpu().numpy()[0]
        frames = np.ascontiguousarray(self.canvas.cut(pixels[: progress.pulled - progress.shown]))
        chunk = EnhancedChunk(
            index=progress.chunks, frames=frames, start_frame=progress.shown, fps=self.fps, latents=latents
        )
        progress.shown, progress.chunks = progress.shown + len(frames), progress.chunks + 1
        return chunk

    def snapshot(self) -> dict[str, Tensor]:
        """The whole state between two chunks, as named tensors that safetensors can store."""
        progress = self._progress
        counts = [progress.pulled, progress.shown, progress.chunks, progress.is_over]
        named = {"counts": torch.tensor([*counts, *self._kind()], dtype=torch.int64)}
        named |= {f"codec.{key}": value for key, value in self._state.snapshot().items()}
        named |= {f"stream.{key}": value for key, value in self.stream.tensors().items()}
        named |= {f"done.{place}": latents.clone() for place, latents in enumerate(self._done)}
        return named | ({"waiting": torch.from_numpy(np.stack(self._waiting))} if self._waiting else {})

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Return to the moment of `snapshot`. The source must go on after the pictures that were `pulled` then.

        Raises UserError for a snapshot of another mode, size or number of steps.
        """
        counts, kind = tensors["counts"][:4].tolist(), tensors["counts"][4:].tolist()
        if kind != self._kind():
            raise UserError(
                "the snapshot is of an enhancement with another mode, window, size or number of steps; use its own"
            )
        pulled, shown, chunks, is_over = counts
        self._progress = _Progress(pulled=pulled, shown=shown, chunks=chunks, is_over=is_over)
        self._state.restore(_part(tensors, "codec"))
        self.stream.restore(_part(tensors, "stream"))
        done = _part(tensors, "done")
        self._done = [done[str(place)].clone() for place in range(len(done))]
        self._waiting = [*tensors["waiting"].numpy()] if "waiting" in tensors else []

    def _kind(self) -> list[int]:
        """What must be the same for a snapshot to fit."""
        course = self.stream.course
        sizes = [
            course.steps,
            course.tiling.length,
            course.tiling.overlap,
            self.canvas.width,
            self.canvas.height,
        ]
        return [MODES.index(self.stream.mode), *sizes]


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
