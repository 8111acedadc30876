"""How much the solids move: optical flow inside the regions that the reader finds.

Flow is OpenCV's DIS (T. Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016; preset
medium) on grey frames enlarged to at least 192 rows, in pixels a frame at the clip's own size. Object flow is
the median length over all pixels of all solids in all frames. Unit: pixels a frame. Limits: with one camera's
movement in the picture it counts as the solid's; a textureless solid is underestimated. So it is compared
with toybox's own rendering of the same prompt, measured in the same way, camera included.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from longtake.world.reader import Reader

__all__ = ["flow", "in_range", "object_flow"]

ROWS = 192
STILL = 0.1
"""Pixels a frame below which a solid counts as still."""
DEFINITION = f"median DIS flow in the reader's object regions, in pixels a frame; below {STILL} is still"


def flow(frames: np.ndarray) -> np.ndarray:
    """Flow from each frame to the next, float32 [T - 1, H, W, 2] in pixels; `frames` uint8 [T, H, W, 3]."""
    height, width = frames.shape[1:3]
    times = max(1, -(-ROWS // height))
    grey = [
        cv2.resize(
            cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY),
            (width * times, height * times),
            interpolation=cv2.INTER_CUBIC,
        )
        for frame in frames
    ]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    fields = [method.calc(first, second, None) for first, second in pairwise(grey)]
    small = [cv2.resize(field, (width, height), interpolation=cv2.INTER_AREA) / times for field in fields]
    return np.stack(small).astype(np.float32)


def object_flow(frames: np.ndarray, colours: tuple[str, ...], reader: Reader) -> float | None:
    """Median flow length inside the solids of these colours; None when the reader finds none of them."""
    regions = (
        np.sum([reader.regions(frames, colour) for colour in colours], 0) if colours else np.zeros((1, 1, 1))
    )
    if not (regions > 0.5).any():
        return None
    height, width = frames.shape[1:3]
    inside = np.stack(
        [cv2.resize(region, (width, height)) > 0.5 for region in regions[:-1].astype(np.float32)]
    )
    lengths = np.linalg.norm(flow(frames), axis=-1)[inside]
    return float(np.median(lengths)) if lengths.size else None


def in_range(measured: float | None, true: float | None, low: float = 0.5, high: float = 2.0) -> bool:
    """Whether a flow is between `low` and `high` times the true one; two still solids agree."""
    if measured is None or true is None:
        return False
    if true < STILL:
        return measured < 2.0 * STILL
    return low * true <= measured <= high * true
