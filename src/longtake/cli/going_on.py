"""What `extend` is asked to make, checked before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.cli.request import check_output, check_scale, check_seed, count_frames, read_size, read_timeline
from longtake.errors import UserError
from longtake.footage import VideoFile, cover, cover_note
from longtake.media import VideoFormat
from longtake.models.hub import look_up
from longtake.models.intake import check_takes_clip
from longtake.models.method import under_method
from longtake.timeline import Timeline

BATCH = 32
"""Frames of the video that are copied at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A video to go on with."""

    file: VideoFile
    """The video."""
    timeline: Timeline
    """What happens next."""
    num_frames: int
    """How many frames are added."""
    model: str
    method: str | None
    seed: int | None
    width: int
    """Pixels of the picture that the model makes."""
    height: int
    form: VideoFormat
    """Picture and rate of the file."""
    out: Path
    force: bool

    @classmethod
    def read(
        cls,
        *,
        video: str,
        prompt: str,
        seconds: float,
        out: Path,
        force: bool,
        seed: int | None,
        model: str,
        method: str | None,
        size: str | None,
        scale: int,
    ) -> Asked:
        """Check the options. Raises `UserError` for the first that cannot be used."""
        timeline = read_timeline(prompt, None)
        preset = look_up(model).preset
        policy = under_method(preset.policy, method, preset.name)
        check_takes_clip(preset.model_copy(update={"policy": policy}))
        width, height = read_size(size, preset)
        check_scale(scale)
        check_seed(seed)
        num_frames = count_frames(seconds, None, preset.native.fps)
        assert num_frames is not None  # seconds are given
        file = VideoFile.open(video)
        if out.exists() and file.path.exists() and out.samefile(file.path):
            raise UserError(f"--out {out} is the video itself; give another name")
        check_output(out, force=force)
        return cls(
            file=file,
            timeline=timeline,
            num_frames=num_frames,
            model=model,
            method=method,
            seed=seed,
            width=width,
            height=height,
            form=VideoFormat(width=width * scale, height=height * scale, fps=preset.native.fps),
            out=out,
            force=force,
        )

    @property
    def note(self) -> str:
        """What happens to the video, in words."""
        return cover_note("video", (self.file.width, self.file.height), self.width, self.height)

    def copied(self) -> Iterator[NDArray[np.uint8]]:
        """The video at the model's size and rate, `uint8 [T, H, W, 3]` at a time."""
        batch: list[NDArray[np.uint8]] = []
        for picture in self.file.frames(int(self.form.fps)):
            batch.append(cover(picture, self.width, self.height))
            if len(batch) == BATCH:
                yield np.stack(batch)
                batch = []
        if batch:
            yield np.stack(batch)
