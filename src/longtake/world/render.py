"""Pictures of a scene. Every frame is a function of the scene and the frame's number alone."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from . import camera, motion, shade, trace
from .pack import Packed, pack
from .scene import Scene


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Rendered frames of a scene."""

    frames: np.ndarray
    """[T, H, W, 3] uint8 RGB."""


@njit(cache=True)
def _sample(view, bodies, rects, light, tile, ground, height, width, x, y):
    """(key, red, green, blue) of the picture point (x, y), as square roots of linear light."""
    dx, dy, dz = trace.ray(view, height, width, x, y)
    index, face, t, lx, ly, lz = trace.find(view[0], view[1], view[2], dx, dy, dz, bodies, rects, int(x), int(y))
    if index >= 0:
        px, py, pz = view[0] + t * dx, view[1] + t * dy, view[2] + t * dz
        bounce = tile[tile.shape[0] - 1]
        r, g, b = shade.surface(index, face, lx, ly, lz, px, py, pz, dx, dy, dz, light, bodies, bounce)
    elif index == trace.GROUND:
        pixel = 2.0 / (min(height, width) * view[12])
        r, g, b = shade.floor(view[0] + t * dx, view[2] + t * dz, dy, t, pixel, light, bodies, tile, ground)
    else:
        r, g, b = shade.backdrop(dy)
    u, v = 2.0 * x / width - 1.0, 2.0 * y / height - 1.0
    dim = 1.0 - shade.VIGNETTE * 0.5 * (u * u + v * v)
    r, g, b = math.sqrt(r) * dim, math.sqrt(g) * dim, math.sqrt(b) * dim
    return trace.key(index, face, lx), min(r, 1.0), min(g, 1.0), min(b, 1.0)


@njit(cache=True)
def _on_edge(keys, y, x):
    own = keys[y, x]
    if x > 0 and keys[y, x - 1] != own:
        return True
    if y > 0 and keys[y - 1, x] != own:
        return True
    if x + 1 < keys.shape[1] and keys[y, x + 1] != own:
        return True
    return y + 1 < keys.shape[0] and keys[y + 1, x] != own


@njit(cache=True)
def _picture(view, bodies, rects, light, tile, ground, keys, frame):
    """Fill one uint8 [H, W, 3] frame: a sample a pixel, four more where surfaces meet."""
    height, width = keys.shape
    for y in range(height):
        for x in range(width):
            k, r, g, b = _sample(view, bodies, rects, light, tile, ground, height, width, x + 0.5, y + 0.5)
            keys[y, x] = k
            frame[y, x, 0], frame[y, x, 1], frame[y, x, 2] = (
                int(r * 255.0 + 0.5),
                int(g * 255.0 + 0.5),
                int(b * 255.0 + 0.5),
            )
    for y in range(height):
        for x in range(width):
            if not _on_edge(keys, y, x):
                continue
            red = green = blue = 0.0
            for i in range(4):
                u, v = x + (0.375, 0.875, 0.125, 0.625)[i], y + (0.125, 0.375, 0.625, 0.875)[i]
                _, r, g, b = _sample(view, bodies, rects, light, tile, ground, height, width, u, v)
                red, green, blue = red + r, green + g, blue + b
            frame[y, x, 0] = int(red * 63.75 + 0.5)
            frame[y, x, 1] = int(green * 63.75 + 0.5)
            frame[y, x, 2] = int(blue * 63.75 + 0.5)


@njit(cache=True, nogil=True)
def _film(packed, start, fps, frames):
    """Fill frames [T, H, W, 3] with the scene from frame number `start` on."""
    count, height, width = frames.shape[0], frames.shape[1], frames.shape[2]
    bodies = np.zeros((packed.fixed.shape[0], motion.BODY_SIZE))
    rects = np.zeros((packed.fixed.shape[0], 4), dtype=np.int64)
    keys = np.zeros((height, width), dtype=np.int64)
    view = np.zeros(camera.VIEW_SIZE)
    for i in range(count):
        seconds = (start + i) / fps
        camera.place(packed.camera, seconds, view)
        motion.embody(
            packed.fixed, packed.legs, packed.leg_counts, packed.tints, packed.tint_counts, seconds, bodies
        )
        trace.bounds(view, bodies, height, width, rects)
        _picture(view, bodies, rects, packed.light, packed.tile, packed.ground, keys, frames[i])


def render(
    scene: Scene,
    num_frames: int,
    *,
    start: int = 0,
    size: tuple[int, int] = (96, 96),
    fps: float = 8,
    truth: bool = False,
    threads: int = 1,
) -> Clip:
    """Film a scene: frames `start` to `start + num_frames - 1` at (height, width)."""
    packed = pack(scene)
    frames = np.empty((num_frames, *size, 3), dtype=np.uint8)
    if threads == 1:
        _film(packed, start, float(fps), frames)
        return Clip(frames=frames)
    cuts = [num_frames * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(_film, packed, start + a, float(fps), frames[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)
        ]
        for part in parts:
            part.result()
    return Clip(frames=frames)
