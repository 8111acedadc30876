"""What a call of a pipeline returns, in the forms that diffusers' video pipelines know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

OutputType = Literal["np", "pil", "pt", "latent"]
OUTPUT_TYPES = ("np", "pil", "pt", "latent")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoOutput:
    """What a call of the pipeline returns."""

    frames: Any
    """A batch of one video: floats `[1, T, H, W, 3]` in 0…1 ("np"), a list of lists of images ("pil"), floats
    `[1, T, 3, H, W]` in 0…1 ("pt"), or latents `[1, C, T, h, w]` ("latent")."""


def as_type(output_type: OutputType, frames: NDArray[np.uint8]) -> Any:
    """`uint8 [T, H, W, 3]` as "np", "pil" or "pt"; see `VideoOutput.frames`."""
    if output_type == "pil":
        return [[Image.fromarray(frame) for frame in frames]]
    floats = frames.astype(np.float32)[None] / 255
    return floats if output_type == "np" else torch.from_numpy(floats).permute(0, 1, 4, 2, 3)
