"""Enlarging pictures before they are enhanced: the plain part of the work, which SDEdit then adds detail to."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """A picture inside the size that an enhancer makes: where shapes differ, black is beside it, and cut off later."""

    width: int
    """Pixels that the enhancer makes."""
    height: int
    """Pixels that the enhancer makes."""
    inner_width: int
    """Pixels of the picture in it."""
    inner_height: int
    """Pixels of the picture in it."""

    @classmethod
    def around(cls, width: int, height: int, given_width: int, given_height: int) -> Canvas:
        """The largest picture of the given shape that fits into `width × height`; its sides are even."""
        times = min(width / given_width, height / given_height)
        inner = [2 * max(1, round(times * side / 2)) for side in (given_width, given_height)]
        fits = width * given_height == height * given_width
        return cls(
            width=width,
            height=height,
            inner_width=width if fits else min(width, inner[0]),
            inner_height=height if fits else min(height, inner[1]),
        )

    def fill(self, frames: NDArray[np.uint8], kernel: Kernel) -> NDArray[np.uint8]:
        """`uint8 [T, h, w, 3]` enlarged into the middle: `uint8 [T, H, W, 3]`."""
        large = upscale(frames, self.inner_width, self.inner_height, kernel)
        if large.shape[1:3] == (self.height, self.width):
            return large
        filled = np.zeros((len(large), self.height, self.width, 3), np.uint8)
        self.cut(filled)[:] = large
        return filled

    def cut(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A view of the picture alone."""
        top, left = (self.height - self.inner_height) // 2, (self.width - self.inner_width) // 2
        return frames[:, top : top + self.inner_height, left : left + self.inner_width]
