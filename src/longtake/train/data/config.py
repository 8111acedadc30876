"""What a set of footage is made like."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from longtake.models.hub import Preset
from longtake.train.recipe_file import Strict

__all__ = ["DataConfig", "native"]


class DataConfig(Strict):
    """How videos become clips. What is given here never changes within one set."""

    model: str
    """Whose codec and text encoder are used: a name that `longtake models` lists, or a folder."""
    width: PositiveInt
    height: PositiveInt
    """Frames are scaled until they cover this size, and cut."""
    fps: PositiveInt
    """Pixel frames a second of the clips."""
    latent_frames: PositiveInt
    """Latent frames of a clip; videos that are shorter are skipped."""
    shots: bool = True
    """Whether cuts are looked for, so that no clip goes across one."""
    clips_per_video: PositiveInt | None = None
    """Most clips of one video; None: all that fit."""
    shard_clips: PositiveInt = 64
    """Clips of a shard; what is lost at most when the command is stopped."""
    validation_clips: NonNegativeInt = 64
    """Most clips that are set aside, from videos that training never sees."""
    validation_share: float = 0.05
    """Share of the videos that they come from; at least one."""
    uncaptioned: Literal["refuse", "skip", "empty"] = "refuse"
    """What becomes of videos without a caption: an error, left out, or taken with the empty caption."""
    seed: int = 0
    """Draws the videos that are set aside."""


def native(preset: Preset, model: str) -> DataConfig:
    """What a model was made for: its size, frame rate, and clips as long as its window."""
    size, policy = preset.native, preset.policy
    return DataConfig(
        model=model,
        width=size.width,
        height=size.height,
        fps=size.fps,
        latent_frames=policy.trained or policy.window.frames,
    )
