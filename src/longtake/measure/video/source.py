"""Frames of a video file, one after another, with what a metric must know about the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

from longtake.errors import UserError
from longtake.measure.video import Frame

__all__ = ["VideoFile"]

LONGEST_CHUNK = 64
"""Frames between key frames above which they are not taken for joins of chunks."""
VARIATION = 0.02
"""Share by which the time between frames may vary in a video of constant rate."""


@dataclass(kw_only=True)
class VideoFile:
    """A video file being read. `notes` is complete when all frames have been read."""

    path: Path
    width: int
    height: int
    fps: float
    """Average frame rate."""
    keyframes: list[int] = field(default_factory=list)
    """Index of every frame that begins a group of pictures, of those read so far."""
    notes: list[str] = field(default_factory=list)
    """What is unusual about the file."""

    @classmethod
    def open(cls, path: Path) -> VideoFile:
        """Look at the file's header. Raises UserError when it is missing, or has no video that can be read."""
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    what = "only sound" if container.streams.audio else "no video"
                    raise UserError(f"{path} holds {what}; give a video file")
                stream = container.streams.video[0]
                rate = stream.average_rate or stream.base_rate
                if not rate or not stream.width or not stream.height:
                    raise UserError(f"{path} does not say its size and frame rate; give a whole video file")
                notes = []
                if stream.format is not None and max(part.bits for part in stream.format.components) > 8:
                    notes.append(f"{stream.format.name}: measured after reduction to 8 bits a channel")
                if stream.format is not None and any(part.is_alpha for part in stream.format.components):
                    notes.append(f"{stream.format.name}: transparency is left out")
                return cls(path=path, width=stream.width, height=stream.height, fps=float(rate), notes=notes)
        except (av.FFmpegError, OSError) as error:
            raise UserError(f"{path} cannot be read as video: {error.strerror}") from None

    def joins(self) -> list[int]:
        """First frame of every chunk but the first, for a file that has been read.

        longtake begins a group of pictures with every chunk, so these are the key frames when they are as dense as
        chunks are; those of other encoders are seconds apart and say nothing of chunks.
        """
        gaps = np.diff(self.keyframes)
        return self.keyframes[1:] if len(gaps) and float(np.median(gaps)) <= LONGEST_CHUNK else []

    def frames(self) -> Iterator[Frame]:
        """Every frame in order of showing. Raises UserError when there is not one."""
        count = 0
        times: list[float] = []
        try:
            with av.open(str(self.path)) as container:
                container.streams.video[0].thread_type = "AUTO"
                for frame in container.decode(video=0):
                    if frame.key_frame:
                        self.keyframes.append(count)
                    if frame.time is not None and len(times) < 1000:
                        times.append(frame.time)
                    count += 1
                    yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
        except (av.FFmpegError, OSError) as error:
            if not count:
                raise UserError(f"{self.path} cannot be read as video: {error.strerror}") from None
            self.notes.append(f"the file is damaged after frame {count - 1}; measured up to there")
        if not count:
            raise UserError(f"{self.path} holds no frames; give a video file")
        if _varies(times):
            self.notes.append("variable frame rate: frames count alike, seconds follow the average rate")


def _varies(times: list[float]) -> bool:
    steps = np.diff(times)
    return len(steps) > 1 and float(np.ptp(steps)) > VARIATION * float(np.median(steps)) + 1.1e-3
