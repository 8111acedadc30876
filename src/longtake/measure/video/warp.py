"""The two warp errors of `mawe.py`, compiled. Shapes: frames `uint8 [H, W, 3]`, flows `float32 [H, W, 2]` (x, y)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from longtake.measure.video import Frame

__all__ = ["Flow", "paper_warp_error", "reference_warp_error"]

Flow = NDArray[np.float32]
NOBODY = -1


@njit(cache=True)
def _writers(flow: Flow) -> NDArray[np.int64]:
    """For each pixel the last one, in reading order, that lands on it; `[H, W]` of indices or NOBODY."""
    height, width = flow.shape[:2]
    last = np.full((height, width), NOBODY, np.int64)
    for y in range(height):
        for x in range(width):
            column = np.rint(np.float32(x) + flow[y, x, 0])
            row = np.rint(np.float32(y) + flow[y, x, 1])
            if 0 <= column < width and 0 <= row < height:
                last[int(row), int(column)] = y * width + x
    return last


@njit(cache=True)
def reference_warp_error(first: Frame, second: Frame, flow: Flow) -> float:
    """Mean squared difference of the second frame and the first moved onto it; 0 when nothing lands inside."""
    last = _writers(flow)
    height, width = last.shape
    total, known = 0.0, 0
    for y in range(height):
        for x in range(width):
            index = last[y, x]
            if index == NOBODY:
                continue
            known += 1
            for channel in range(3):
                moved = first[index // width, index % width, channel]
                total += (float(second[y, x, channel]) - float(moved)) ** 2
    return total / (3 * known) if known else 0.0


@njit(cache=True)
def _mean_distance(first: Frame, second: Frame, flow: Flow, back: Flow) -> float:
    height, width = first.shape[:2]
    total, seen = 0.0, 0
    for y in range(height):
        for x in range(width):
            across, down = flow[y, x, 0], flow[y, x, 1]
            column, row = x + across, y + down
            if not (0 <= column <= width - 1 and 0 <= row <= height - 1):
                continue
            left, top = min(int(column), width - 2), min(int(row), height - 2)
            right, low = column - left, row - top
            weights = ((1 - low) * (1 - right), (1 - low) * right, low * (1 - right), low * right)
            back_x, back_y = 0.0, 0.0
            for corner in range(4):
                at = back[top + corner // 2, left + corner % 2]
                back_x += weights[corner] * at[0]
                back_y += weights[corner] * at[1]
            miss = (across + back_x) ** 2 + (down + back_y) ** 2
            length = across**2 + down**2 + back_x**2 + back_y**2
            if miss > 0.01 * length + 0.5:
                continue
            seen += 1
            for channel in range(3):
                found = 0.0
                for corner in range(4):
                    found += weights[corner] * second[top + corner // 2, left + corner % 2, channel]
                total += (found - first[y, x, channel]) ** 2
    return total / seen if seen else math.nan


def paper_warp_error(first: Frame, second: Frame, flow: Flow, back: Flow) -> float | None:
    """Mean squared RGB distance of what the flow says is the same; None when everything is occluded."""
    error = _mean_distance(first, second, flow, back)
    return None if math.isnan(error) else float(error)
