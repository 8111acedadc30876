"""Pictures of a scene. Every frame is a function of the scene and the frame's number alone."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from longtake.errors import UserError
from longtake.world import camera, motion, shade, trace
from longtake.world.camera import View
from longtake.world.compiled import kernel, leaf
from longtake.world.pack import Packed, fill_bodies, pack
from longtake.world.scene import Scene
from longtake.world.state import SceneState, state
from longtake.world.truth import empty_facts, survey


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Rendered frames of a scene, and with `truth` what they show."""

    frames: np.ndarray
    """[T, H, W, 3] uint8 RGB."""
    depth: np.ndarray | None = None
    """[T, H, W] float32: metres along the viewing direction to the pixel's middle; inf at the backdrop."""
    instances: np.ndarray | None = None
    """[T, H, W] uint8: 0 for ground and backdrop, n + 1 for the scene's solid n."""
    flow: np.ndarray | None = None
    """[T, H, W, 2] float32: (right, down) in pixels to where the point seen here is in the next frame."""
    occluded: np.ndarray | None = None
    """[T, H, W] bool: that point is hidden or out of the picture in the next frame."""
    cameras: tuple[View, ...] | None = None
    """The camera of each frame."""
    graphs: tuple[SceneState, ...] | None = None
    """The scene graph of each frame."""


@leaf
def _dim(height: int, width: int, x: float, y: float) -> float:
    """The vignette at a picture point."""
    u, v = 2.0 * x / width - 1.0, 2.0 * y / height - 1.0
    return 1.0 - shade.VIGNETTE * 0.5 * (u * u + v * v)


@leaf
def _byte(value: float, dim: float) -> int:
    """Linear light as a picture value."""
    return int(min(math.sqrt(value) * dim, 1.0) * 255.0 + 0.5)


@leaf
def _rows(view: np.ndarray, height: int, width: int, rows: np.ndarray) -> None:
    """Fill what the ground has in common along each row of the picture, [height, 2]."""
    pixel = 2.0 / (min(height, width) * view[12])
    for y in range(height):
        _, slope, _ = trace.ray(view, height, width, 0.0, y + 0.5)
        rows[y, 0], rows[y, 1] = shade.row(slope, -view[1] / min(slope, -1e-6), pixel)


@leaf
def _sample(
    view: np.ndarray,
    rows: np.ndarray,
    bodies: np.ndarray,
    rects: np.ndarray,
    light: np.ndarray,
    tile: np.ndarray,
    ground: np.ndarray,
    height: int,
    width: int,
    x: float,
    y: float,
    hasty: bool,
) -> tuple[int, int, int, int]:
    """(key, red, green, blue) at the picture point (x, y); a hasty look at bare, lit ground has no colour."""
    dx, dy, dz = trace.ray(view, height, width, x, y)
    line = int(y)
    index, face, t, lx, ly, lz = trace.find(
        view[0], view[1], view[2], dx, dy, dz, bodies, rects, int(x), line
    )
    px, py, pz = view[0] + t * dx, view[1] + t * dy, view[2] + t * dz
    if index >= 0:
        r, g, b = shade.surface(index, face, lx, ly, lz, px, py, pz, dx, dy, dz, light, bodies, tile)
    elif index == trace.GROUND:
        if hasty and shade.lit_floor(px, pz, light, bodies):
            return trace.BARE, 0, 0, 0
        sun, sky = shade.daylight(px, 0.0, pz, light, bodies, trace.GROUND)
        r, g, b = shade.floor(px, pz, dy, rows[line, 0], rows[line, 1], sun * light[1], sky, tile, ground)
    else:
        if hasty:
            return trace.BARE, 0, 0, 0
        r, g, b = shade.backdrop(dy)
    dim = _dim(height, width, x, y)
    stripe = index >= 0 and trace.striped(int(bodies[index, 0]), lx, lz)
    return trace.key(index, face, stripe), _byte(r, dim), _byte(g, dim), _byte(b, dim)


@leaf
def _stage(
    view: np.ndarray,
    rows: np.ndarray,
    light: np.ndarray,
    tile: np.ndarray,
    ground: np.ndarray,
    frame: np.ndarray,
) -> None:
    """Fill a frame with the empty scene."""
    height, width = frame.shape[0], frame.shape[1]
    for y in range(height):
        for x in range(width):
            dx, dy, dz = trace.ray(view, height, width, x + 0.5, y + 0.5)
            if dy < -1e-6:
                t = -view[1] / dy
                px, pz = view[0] + t * dx, view[2] + t * dz
                r, g, b = shade.floor(px, pz, dy, rows[y, 0], rows[y, 1], light[1], 1.0, tile, ground)
            else:
                r, g, b = shade.backdrop(dy)
            dim = _dim(height, width, x + 0.5, y + 0.5)
            frame[y, x, 0], frame[y, x, 1], frame[y, x, 2] = _byte(r, dim), _byte(g, dim), _byte(b, dim)


@leaf
def _fill(
    view: np.ndarray,
    rows: np.ndarray,
    bodies: np.ndarray,
    rects: np.ndarray,
    light: np.ndarray,
    tile: np.ndarray,
    ground: np.ndarray,
    keys: np.ndarray,
    frame: np.ndarray,
    done: np.ndarray,
    stamp: int,
    rect: np.ndarray,
) -> None:
    """Sample what bodies cover or shade in a rectangle (left, right, top, bottom), each pixel once a stamp."""
    height, width = keys.shape
    for y in range(rect[2], rect[3]):
        for x in range(rect[0], rect[1]):
            if done[y, x] == stamp:
                continue
            done[y, x] = stamp
            key, r, g, b = _sample(
                view, rows, bodies, rects, light, tile, ground, height, width, x + 0.5, y + 0.5, True
            )
            if key != trace.BARE:
                keys[y, x], frame[y, x, 0], frame[y, x, 1], frame[y, x, 2] = key, r, g, b


@leaf
def _on_edge(keys: np.ndarray, y: int, x: int) -> bool:
    own = keys[y, x]
    if x > 0 and keys[y, x - 1] != own:
        return True
    if y > 0 and keys[y - 1, x] != own:
        return True
    if x + 1 < keys.shape[1] and keys[y, x + 1] != own:
        return True
    return y + 1 < keys.shape[0] and keys[y + 1, x] != own


@leaf
def _soften(
    view: np.ndarray,
    rows: np.ndarray,
    bodies: np.ndarray,
    rects: np.ndarray,
    light: np.ndarray,
    tile: np.ndarray,
    ground: np.ndarray,
    keys: np.ndarray,
    frame: np.ndarray,
    done: np.ndarray,
    stamp: int,
    rect: np.ndarray,
) -> None:
    """Average four samples in each pixel of a rectangle where surfaces meet."""
    height, width = keys.shape
    for y in range(rect[2], rect[3]):
        for x in range(rect[0], rect[1]):
            if done[y, x] == stamp or not _on_edge(keys, y, x):
                continue
            done[y, x] = stamp
            red = green = blue = 2
            for i in range(4):
                u, v = x + (0.375, 0.875, 0.125, 0.625)[i], y + (0.125, 0.375, 0.625, 0.875)[i]
                _, r, g, b = _sample(
                    view, rows, bodies, rects, light, tile, ground, height, width, u, v, False
                )
                red, green, blue = red + r, green + g, blue + b
            frame[y, x, 0], frame[y, x, 1], frame[y, x, 2] = red >> 2, green >> 2, blue >> 2


@kernel
def _film(packed: Packed, start: int, fps: float, frames: np.ndarray) -> None:
    """Fill frames [T, H, W, 3] with the scene from frame number `start` on.

    The empty stage is drawn when the camera has moved; then only what bodies cover or shade is sampled.
    """
    height, width, count = frames.shape[1], frames.shape[2], packed.fixed.shape[0]
    bodies = np.zeros((count, motion.BODY_SIZE))
    rects, shadows = np.zeros((count, 4), dtype=np.int64), np.zeros((count, 4), dtype=np.int64)
    stage, done = np.zeros((height, width, 3), dtype=np.uint8), np.zeros((height, width), dtype=np.int64)
    keys = np.zeros((height, width), dtype=np.int64)
    rows = np.zeros((height, 2))
    view, last = np.zeros(camera.VIEW_SIZE), np.zeros(camera.VIEW_SIZE)
    light, tile, ground = packed.light, packed.tile, packed.ground
    for i in range(frames.shape[0]):
        seconds = (start + i) / fps
        frame, stamp = frames[i], 2 * i + 1
        camera.place(packed.camera, seconds, view)
        if not np.array_equal(view, last):
            last[:] = view
            _rows(view, height, width, rows)
            _stage(view, rows, light, tile, ground, stage)
        frame[:] = stage
        keys[:] = trace.GROUND
        fill_bodies(packed, seconds, bodies)
        trace.bounds(view, bodies, height, width, rects)
        trace.shadow_bounds(view, bodies, light, height, width, shadows)
        for n in range(count):
            _fill(view, rows, bodies, rects, light, tile, ground, keys, frame, done, stamp, rects[n])
            _fill(view, rows, bodies, rects, light, tile, ground, keys, frame, done, stamp, shadows[n])
        for n in range(count):
            _soften(view, rows, bodies, rects, light, tile, ground, keys, frame, done, stamp + 1, rects[n])


def _check(num_frames: int, start: int, size: tuple[int, int], fps: float) -> None:
    if num_frames < 1 or start < 0:
        raise UserError(f"{num_frames} frames from frame {start}: use at least 1 frame from frame 0 or later")
    if min(size) < 1:
        raise UserError(f"size {size[0]}x{size[1]} is empty; use a height and a width of at least 1")
    if not fps > 0:
        raise UserError(f"fps {fps} is not a frame rate; use a number above 0")


def _spans(count: int, threads: int) -> list[tuple[int, int]]:
    cuts = [count * i // threads for i in range(threads + 1)]
    return [(a, b) for a, b in pairwise(cuts) if b > a]


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
    """Film a scene: frames `start` to `start + num_frames - 1` at (height, width). Threads change no byte."""
    _check(num_frames, start, size, fps)
    packed, speed = pack(scene), float(fps)
    frames = np.empty((num_frames, *size, 3), dtype=np.uint8)
    facts = empty_facts(num_frames, size) if truth else None

    def shoot(span: tuple[int, int]) -> None:
        a, b = span
        _film(packed, start + a, speed, frames[a:b])
        if facts is not None:
            survey(
                packed,
                start + a,
                speed,
                facts.depth[a:b],
                facts.instances[a:b],
                facts.flow[a:b],
                facts.occluded[a:b],
            )

    if threads == 1:
        shoot((0, num_frames))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(shoot, _spans(num_frames, threads)))
    if facts is None:
        return Clip(frames=frames)
    moments = [(start + i) / speed for i in range(num_frames)]
    return Clip(
        frames=frames,
        depth=facts.depth,
        instances=facts.instances,
        flow=facts.flow,
        occluded=facts.occluded,
        cameras=tuple(camera.view_at(scene.camera, seconds, size) for seconds in moments),
        graphs=tuple(state(scene, seconds) for seconds in moments),
    )
