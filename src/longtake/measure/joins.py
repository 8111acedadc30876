"""What joins of windows do to motion: its deviation over time, motion at joins, and X–T slices side by side.

Motion deviation (the flow deviation of StreamingT2V's ablation of blending, arXiv 2403.14773 §9.3): the mean length of
the flow from each frame to the next is one number a pair; the standard deviation of these numbers over a video, in
pixels a frame; lower is smoother. The paper gives 8.72 for windows by themselves, 6.01 with shared noise, 3.32 blended,
with its own videos, size and flow network, so only the order compares. Flow is that of `motion.flow`, at the video's
size: it is not the `flow_deviation` of `longtake eval`, which is measured at 720 × 720 by another flow.

Motion at joins is the mean flow over pairs of frames in an overlap, divided by that over all others; 1 is seamless.
Limits: motion that itself begins and ends deviates too; compare with the video that was enhanced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from longtake.enhance.tiling import Tiling
from longtake.measure.motion import flow
from longtake.models.codec import frames_for_latents

__all__ = ["at_joins", "flow_lengths", "join_pairs", "motion_deviation", "xt_sheet", "xt_slice"]

LABEL = 14
TIMES = 4
"""How often a sheet repeats each frame."""


def flow_lengths(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean flow from each frame to the next, `[T − 1]` in pixels; `frames` uint8 [T, H, W, 3]."""
    return np.linalg.norm(flow(frames), axis=-1).mean((1, 2)).astype(np.float64)


def motion_deviation(lengths: NDArray[np.float64]) -> float:
    """Standard deviation over a video of what `flow_lengths` gave."""
    return float(np.std(lengths))


def join_pairs(tiling: Tiling, total: int, temporal_stride: int) -> list[int]:
    """Pairs of pixel frames (t, t + 1) that lie in or at the edge of an overlap, for `total` latent frames."""
    pairs: set[int] = set()
    for left in tiling.over(total)[:-1]:
        join = tiling.join(left)
        begin = frames_for_latents(join.start, temporal_stride) if join.start else 0
        end = frames_for_latents(join.stop, temporal_stride)
        pairs.update(range(max(0, begin - 1), end))
    most = frames_for_latents(total, temporal_stride) - 1
    return sorted(pair for pair in pairs if pair < most)


def at_joins(lengths: NDArray[np.float64], pairs: Sequence[int]) -> float | None:
    """Mean flow at these pairs over that at all others; None where there is nothing on one side."""
    here = np.isin(np.arange(len(lengths)), pairs)
    if not here.any() or here.all() or not lengths[~here].mean():
        return None
    return float(lengths[here].mean() / lengths[~here].mean())


def xt_slice(frames: NDArray[np.uint8], row: int | None = None) -> NDArray[np.uint8]:
    """`uint8 [W, T, 3]`: one row of pixels (the middle one) over time; joins that jump are edges from side to side."""
    chosen = frames.shape[1] // 2 if row is None else row
    return np.ascontiguousarray(frames[:, chosen].transpose(1, 0, 2))


def xt_sheet(videos: Mapping[str, NDArray[np.uint8]]) -> Image.Image:
    """The slices of several videos of one clip below each other, stretched in time, each under its name."""
    slices = {name: xt_slice(frames).repeat(TIMES, axis=1) for name, frames in videos.items()}
    width = max(each.shape[1] for each in slices.values())
    page = Image.new("RGB", (width, sum(each.shape[0] + LABEL for each in slices.values())), "white")
    draw, top = ImageDraw.Draw(page), 0
    for name, each in slices.items():
        draw.text((2, top + 1), name, fill="black")
        page.paste(Image.fromarray(each), (0, top + LABEL))
        top += each.shape[0] + LABEL
    return page
