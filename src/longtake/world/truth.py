"""What every pixel shows: depth, instance, where it goes by the next frame, and if it is hidden there."""

import math
from typing import NamedTuple

import numpy as np

from longtake.world import camera, motion, trace
from longtake.world.compiled import Vector, kernel, leaf
from longtake.world.pack import Packed, fill_bodies
from longtake.world.shapes import MISS

SAME = 0.01
"""Metres of depth within which two sights of a solid are of one point."""


class Facts(NamedTuple):
    """The arrays that `survey` fills; see render.Clip for their meaning."""

    depth: np.ndarray
    """[T, H, W] float32."""
    instances: np.ndarray
    """[T, H, W] uint8."""
    flow: np.ndarray
    """[T, H, W, 2] float32."""
    occluded: np.ndarray
    """[T, H, W] bool."""


def empty_facts(count: int, size: tuple[int, int]) -> Facts:
    """Room for the facts of so many frames of (height, width)."""
    shape = (count, *size)
    return Facts(
        depth=np.empty(shape, dtype=np.float32),
        instances=np.empty(shape, dtype=np.uint8),
        flow=np.empty((*shape, 2), dtype=np.float32),
        occluded=np.empty(shape, dtype=np.bool_),
    )


@leaf
def _project(view: np.ndarray, height: int, width: int, dx: float, dy: float, dz: float) -> Vector:
    """(x, y, depth) in the picture of a point given from the eye; depth <= 0 is behind."""
    depth = dx * view[9] + dy * view[10] + dz * view[11]
    if depth <= 1e-6:
        return 0.0, 0.0, -1.0
    scale = 0.5 * min(height, width) * view[12] / depth
    x = 0.5 * width + scale * (dx * view[3] + dy * view[4] + dz * view[5])
    y = 0.5 * height - scale * (dx * view[6] + dy * view[7] + dz * view[8])
    return x, y, depth


@leaf
def _hidden(
    view: np.ndarray,
    bodies: np.ndarray,
    rects: np.ndarray,
    height: int,
    width: int,
    x: float,
    y: float,
    index: int,
    depth: float,
) -> bool:
    """Whether the point at picture point (x, y) and a depth on a surface is not what one sees there."""
    if depth <= 0.0 or not (0.0 <= x < width and 0.0 <= y < height):
        return True
    dx, dy, dz = trace.ray(view, height, width, x, y)
    seen, _, t, _, _, _ = trace.find(view[0], view[1], view[2], dx, dy, dz, bodies, rects, int(x), int(y))
    return seen != index or (index >= 0 and abs(t - depth) > SAME)


@leaf
def _onward(
    index: int,
    t: float,
    lx: float,
    ly: float,
    lz: float,
    dx: float,
    dy: float,
    dz: float,
    view: np.ndarray,
    after: np.ndarray,
    later: np.ndarray,
) -> Vector:
    """The point hit by a ray now, as seen from the next eye in the next frame."""
    if index >= 0:
        scale = later[index, 1]
        px, py, pz = trace.turn_out(later, index, lx * scale, ly * scale, lz * scale)
        return (
            px + later[index, 2] - after[0],
            py + later[index, 3] - after[1],
            pz + later[index, 4] - after[2],
        )
    if index == trace.BACKDROP:
        return dx, dy, dz
    return view[0] + t * dx - after[0], view[1] + t * dy - after[1], view[2] + t * dz - after[2]


@kernel
def survey(
    packed: Packed,
    start: int,
    fps: float,
    depth: np.ndarray,
    instances: np.ndarray,
    flow: np.ndarray,
    occluded: np.ndarray,
) -> None:
    """Fill the facts of the frames from number `start` on."""
    count, height, width = depth.shape
    bodies = np.zeros((packed.fixed.shape[0], motion.BODY_SIZE))
    later = np.zeros_like(bodies)
    rects, later_rects = (
        np.zeros((bodies.shape[0], 4), dtype=np.int64),
        np.zeros((bodies.shape[0], 4), dtype=np.int64),
    )
    view, after = np.zeros(camera.VIEW_SIZE), np.zeros(camera.VIEW_SIZE)
    for i in range(count):
        seconds, next_seconds = (start + i) / fps, (start + i + 1) / fps
        camera.place(packed.camera, seconds, view)
        camera.place(packed.camera, next_seconds, after)
        fill_bodies(packed, seconds, bodies)
        fill_bodies(packed, next_seconds, later)
        trace.bounds(view, bodies, height, width, rects)
        trace.bounds(after, later, height, width, later_rects)
        for y in range(height):
            for x in range(width):
                dx, dy, dz = trace.ray(view, height, width, x + 0.5, y + 0.5)
                index, _, t, lx, ly, lz = trace.find(
                    view[0], view[1], view[2], dx, dy, dz, bodies, rects, x, y
                )
                px, py, pz = _onward(index, t, lx, ly, lz, dx, dy, dz, view, after, later)
                u, v, far = _project(after, height, width, px, py, pz)
                depth[i, y, x] = t if t < MISS else math.inf
                instances[i, y, x] = index + 1 if index >= 0 else 0
                flow[i, y, x, 0], flow[i, y, x, 1] = u - x - 0.5, v - y - 0.5
                occluded[i, y, x] = _hidden(after, later, later_rects, height, width, u, v, index, far)
