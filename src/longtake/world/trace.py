"""From a ray to what it hits: the nearest solid, the ground, or the backdrop."""

import math

import numpy as np

from longtake.world.compiled import Vector, leaf
from longtake.world.shapes import BOUND, MISS, STRIPE, TORUS, hit

GROUND = -1
BACKDROP = -2
BARE = -3
"""Ground or backdrop that no body covers or shades."""
PENUMBRA = 0.45
"""How far soft shadows reach beyond a body's bound, in half extents."""
NEAR = 2.0
"""How far from a body's middle it takes sky light from the ground, in half extents."""


@leaf
def bounds(view: np.ndarray, bodies: np.ndarray, height: int, width: int, rects: np.ndarray) -> None:
    """Picture rectangle (left, right, top, bottom; ends exclusive) about each body, empty if unseen."""
    pixels = view[12] * 0.5 * min(height, width)
    for n in range(bodies.shape[0]):
        reach = BOUND[int(bodies[n, 0])] * bodies[n, 1]
        x, y, z = bodies[n, 2] - view[0], bodies[n, 3] - view[1], bodies[n, 4] - view[2]
        depth = x * view[9] + y * view[10] + z * view[11]
        rects[n, :] = 0
        if bodies[n, 21] == 0.0 or depth <= -reach:
            continue
        rects[n, 1], rects[n, 3] = width, height
        if depth <= reach * 1.01:
            continue
        for axis in range(2):
            base = 3 + 3 * axis
            off = x * view[base] + y * view[base + 1] + z * view[base + 2]
            if axis == 1:
                off = -off
            spread = reach * math.sqrt(off * off + depth * depth - reach * reach)
            scale = pixels / (depth * depth - reach * reach)
            size = width if axis == 0 else height
            low = math.floor(0.5 * size + (off * depth - spread) * scale) - 1
            high = math.ceil(0.5 * size + (off * depth + spread) * scale) + 1
            rects[n, 2 * axis] = int(min(max(low, 0.0), size))
            rects[n, 2 * axis + 1] = int(min(max(high, 0.0), size))


@leaf
def _box(
    view: np.ndarray,
    height: int,
    width: int,
    left: float,
    right: float,
    back: float,
    front: float,
    rect: np.ndarray,
) -> None:
    """Picture rectangle about a rectangle of ground; the whole picture where it passes behind the eye."""
    pixels = view[12] * 0.5 * min(height, width)
    x0 = y0 = 1e9
    x1 = y1 = -1e9
    for corner in range(4):
        x = (left if corner & 1 else right) - view[0]
        z = (back if corner & 2 else front) - view[2]
        depth = x * view[9] - view[1] * view[10] + z * view[11]
        if depth < 0.1:
            x0, x1, y0, y1 = 0.0, width, 0.0, height
            break
        u = 0.5 * width + pixels * (x * view[3] - view[1] * view[4] + z * view[5]) / depth
        v = 0.5 * height - pixels * (x * view[6] - view[1] * view[7] + z * view[8]) / depth
        x0, x1, y0, y1 = min(x0, u), max(x1, u), min(y0, v), max(y1, v)
    rect[0], rect[1] = int(min(max(x0 - 1.0, 0.0), width)), int(min(max(x1 + 2.0, 0.0), width))
    rect[2], rect[3] = int(min(max(y0 - 1.0, 0.0), height)), int(min(max(y1 + 2.0, 0.0), height))


@leaf
def shadow_bounds(
    view: np.ndarray, bodies: np.ndarray, light: np.ndarray, height: int, width: int, rects: np.ndarray
) -> None:
    """Picture rectangle about the ground that each body shades or darkens by being near."""
    for n in range(bodies.shape[0]):
        rects[n, :] = 0
        if bodies[n, 21] == 0.0:
            continue
        x, z, reach = bodies[n, 2], bodies[n, 4], NEAR * bodies[n, 1]
        left, right, back, front = x - reach, x + reach, z - reach, z + reach
        reach = (BOUND[int(bodies[n, 0])] + PENUMBRA) * bodies[n, 1]
        lean = bodies[n, 3] / light[1]
        x, z = x - lean * light[0], z - lean * light[2]
        side, deep = (
            reach * math.hypot(light[0] / light[1], 1.0),
            reach * math.hypot(light[2] / light[1], 1.0),
        )
        left, right, back, front = (
            min(left, x - side),
            max(right, x + side),
            min(back, z - deep),
            max(front, z + deep),
        )
        _box(view, height, width, left, right, back, front, rects[n])


@leaf
def ray(view: np.ndarray, height: int, width: int, x: float, y: float) -> Vector:
    """Direction through the picture point (x, y) in pixels from the upper left; its t is the depth."""
    scale = 2.0 / (min(height, width) * view[12])
    u, v = (x - 0.5 * width) * scale, (0.5 * height - y) * scale
    return (
        view[9] + u * view[3] + v * view[6],
        view[10] + u * view[4] + v * view[7],
        view[11] + u * view[5] + v * view[8],
    )


@leaf
def inward(bodies: np.ndarray, n: int, x: float, y: float, z: float) -> Vector:
    """A world point in the body's own space, in half extents."""
    x, y, z = x - bodies[n, 2], y - bodies[n, 3], z - bodies[n, 4]
    scale = 1.0 / bodies[n, 1]
    return (
        scale * (bodies[n, 5] * x + bodies[n, 8] * y + bodies[n, 11] * z),
        scale * (bodies[n, 6] * x + bodies[n, 9] * y + bodies[n, 12] * z),
        scale * (bodies[n, 7] * x + bodies[n, 10] * y + bodies[n, 13] * z),
    )


@leaf
def turn_in(bodies: np.ndarray, n: int, x: float, y: float, z: float) -> Vector:
    """A world direction in the body's own axes."""
    return (
        bodies[n, 5] * x + bodies[n, 8] * y + bodies[n, 11] * z,
        bodies[n, 6] * x + bodies[n, 9] * y + bodies[n, 12] * z,
        bodies[n, 7] * x + bodies[n, 10] * y + bodies[n, 13] * z,
    )


@leaf
def turn_out(bodies: np.ndarray, n: int, x: float, y: float, z: float) -> Vector:
    """A direction in the body's own axes in the world's."""
    return (
        bodies[n, 5] * x + bodies[n, 6] * y + bodies[n, 7] * z,
        bodies[n, 8] * x + bodies[n, 9] * y + bodies[n, 10] * z,
        bodies[n, 11] * x + bodies[n, 12] * y + bodies[n, 13] * z,
    )


@leaf
def find(
    eye_x: float,
    eye_y: float,
    eye_z: float,
    dx: float,
    dy: float,
    dz: float,
    bodies: np.ndarray,
    rects: np.ndarray,
    px: int,
    py: int,
) -> tuple[int, int, float, float, float, float]:
    """(index, face, t, local x, y, z): nearest hit of a ray that passes through pixel (px, py)."""
    index, face, t = BACKDROP, 0, MISS
    lx = ly = lz = 0.0
    if dy < -1e-6:
        index, t = GROUND, -eye_y / dy
    for n in range(bodies.shape[0]):
        if px < rects[n, 0] or px >= rects[n, 1] or py < rects[n, 2] or py >= rects[n, 3]:
            continue
        ox, oy, oz = inward(bodies, n, eye_x, eye_y, eye_z)
        ex, ey, ez = turn_in(bodies, n, dx, dy, dz)
        scale = 1.0 / bodies[n, 1]
        ex, ey, ez = ex * scale, ey * scale, ez * scale
        s, side = hit(int(bodies[n, 0]), ox, oy, oz, ex, ey, ez)
        if s < t:
            index, face, t = n, side, s
            lx, ly, lz = ox + s * ex, oy + s * ey, oz + s * ez
    return index, face, t, lx, ly, lz


@leaf
def striped(shape: int, lx: float, lz: float) -> bool:
    """Whether a surface point lies on the solid's stripe: all around it, but on one side only of a torus."""
    return abs(lx) < STRIPE and (shape != TORUS or lz > 0.0)


@leaf
def key(index: int, face: int, stripe: bool) -> int:
    """One number for the surface under a pixel: neighbours with another number share an edge."""
    if index < 0:
        return index
    return index * 64 + face * 2 + (1 if stripe else 0)
