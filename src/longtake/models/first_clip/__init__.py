"""A take's first clip from another model, as StreamingT2V does (arXiv 2403.14773, section 4): one file each.

Each wraps a pipeline of diffusers that is on this machine. What it makes is `uint8 [T, H, W, 3]`, which
`Pipeline.stream(clip=…)` goes on from; its frames are taken to be at the take's rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from longtake.errors import UserError
from longtake.footage import Picture

KINDS = ("modelscope", "animatediff", "svd")
"""Names of the sources."""


class FirstClip(Protocol):
    """A model that makes a short clip."""

    def make(self, prompt: str, *, seed: int) -> Picture:
        """Frames `uint8 [T, H, W, 3]`; the same for the same seed on the same machine."""
        ...


def split_source(text: str) -> tuple[str, Path] | None:
    """`KIND:FOLDER` as a kind and its folder; None for the path of a video."""
    kind, colon, folder = text.partition(":")
    return (kind, Path(folder)) if colon and kind in KINDS else None


def open_first_clip(kind: str, folder: Path, image: Picture | None = None) -> FirstClip:
    """Open a pipeline saved by diffusers in `folder`. image: what an image-to-video model begins from.

    Raises UserError for an unknown kind, a folder that is no such pipeline, and an image too many or too few.
    """
    if kind not in KINDS:
        raise UserError(f"first clip by {kind!r} is unknown; known: {', '.join(KINDS)}, or a video file")
    if (kind == "svd") != (image is not None):
        need = "needs a picture; give an image" if image is None else "takes no picture; leave the image out"
        raise UserError(f"a first clip by {kind} {need}")
    if kind == "modelscope":
        from longtake.models.first_clip.modelscope import ModelScope

        return ModelScope.open(folder)
    if kind == "animatediff":
        from longtake.models.first_clip.animatediff import AnimateDiff

        return AnimateDiff.open(folder)
    from longtake.models.first_clip.svd import StableVideo

    assert image is not None  # checked above
    return StableVideo.open(folder, image)


def opened(kind: Any, folder: Path) -> Any:
    """A pipeline of diffusers' class `kind` from files on this machine alone, safetensors only."""
    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"{folder} holds no pipeline of diffusers (model_index.json is missing); give its folder"
        )
    try:
        pipe = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, TypeError) as reason:
        text = " ".join(str(reason).split())[:200]
        raise UserError(f"{folder} cannot be opened as {kind.__name__}: {text}") from None
    pipe.set_progress_bar_config(disable=True)
    return pipe


def as_frames(video: Any) -> NDArray[np.uint8]:
    """Frames as a pipeline gives them with `output_type="np"`, `[T, H, W, 3]` in 0…1, rounded to 8 bits."""
    return np.rint(np.clip(np.asarray(video, np.float32), 0, 1) * 255).astype(np.uint8)
