"""A video cut into clips: one after another, of one length, none across a cut; encoded as they are read.

Shapes: T pixel frames, C latent channels, F latent frames, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.footage import Picture, VideoFile, cover
from longtake.measure.cuts import CutFinder
from longtake.models.codec import Codec, frames_for_latents
from longtake.train.data.config import DataConfig

__all__ = ["Cut", "clips_of", "encode", "shot_starts"]

GLANCE = 128
"""Columns of the pictures in which cuts are looked for; their rows follow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A clip of a video."""

    number: int
    """Which clip of the video, from 0."""
    start: int
    """Its first frame, at the set's frame rate."""
    frames: tuple[Picture, ...]
    """Its frames, in the set's size."""


def clips_of(path: Path, config: DataConfig, stride: int) -> Iterator[Cut]:
    """The clips of a video file; `stride` is the codec's in time.

    Raises UserError when the file is damaged, or too short for a single clip.
    """
    video = VideoFile.open(path)
    length = frames_for_latents(config.latent_frames, stride)
    cuts = shot_starts(video, config.fps) if config.shots else ()
    frames = (cover(frame, config.width, config.height) for frame in video.frames(config.fps))
    seen = Count()
    number = -1
    for number, (start, held) in enumerate(whole_clips(seen(frames), length, cuts)):
        if number == config.clips_per_video:
            return
        yield Cut(number=number, start=start, frames=tuple(held))
    if number < 0:
        shots = f" in {len(cuts) + 1} shots" if cuts else ""
        raise UserError(
            f"video {path.name} has {seen.count} frames at {config.fps} a second{shots}; a clip needs {length} in one"
        )


class Count:
    """Counts what is handed through."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frames: Iterable[Picture]) -> Iterator[Picture]:
        for frame in frames:
            self.count += 1
            yield frame


def whole_clips(
    frames: Iterable[Picture], length: int, cuts: Sequence[int]
) -> Iterator[tuple[int, list[Picture]]]:
    """First frame and frames of every stretch of `length` frames that holds no frame of `cuts` but as its first."""
    held: list[Picture] = []
    for number, frame in enumerate(frames):
        if number in cuts:
            held = []
        held.append(frame)
        if len(held) == length:
            yield number + 1 - length, held
            held = []


def shot_starts(video: VideoFile, fps: int) -> tuple[int, ...]:
    """First frame after each cut of a video, at `fps` frames a second."""
    finder = CutFinder()
    height = max(1, round(GLANCE * video.height / video.width))
    for frame in video.frames(fps):
        finder.add(cover(frame, GLANCE, height))
    return tuple(finder.finish())


def encode(frames: Sequence[Picture], codec: Codec) -> Tensor:
    """Latents `[1, C, F, h, w]` float32 on the CPU; a latent frame at a time, so that long clips take no more room."""
    device, state = next(codec.parameters()).device, codec.start()
    bounds = [0, *range(1, len(frames) + 1, codec.temporal_stride)]
    parts = []
    for first, end in pairwise(bounds):
        pixels = torch.from_numpy(np.stack(frames[first:end]))[None].to(device)
        parts.append(codec.encode(pixels, state).float().cpu())
    return torch.cat(parts, dim=2)
