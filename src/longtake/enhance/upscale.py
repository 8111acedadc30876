"""Enlarging pictures before they are enhanced: the plain part of the work, which SDEdit then adds detail to."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longtake.errors import UserError

Kernel = Literal["lanczos", "bicubic"]
KERNELS = {"lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}


def check_kernel(kernel: str) -> None:
    """Refuse a kernel that is not known (UserError)."""
    if kernel not in KERNELS:
        raise UserError(f"upscaling by {kernel!r} is unknown; use one of {', '.join(KERNELS)}")


def upscale(frames: NDArray[np.uint8], width: int, height: int, kernel: Kernel) -> NDArray[np.uint8]:
    """`uint8 [T, H, W, 3]` to the same with H = height and W = width; frames that have the size stay as they are."""
    if frames.shape[1:3] == (height, width):
        return frames
    method = KERNELS[kernel]
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), method)) for frame in frames])
