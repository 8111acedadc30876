"""From a ray to what it hits: the nearest solid, the ground, or the backdrop."""

import math

from numba import njit

from .shapes import BOUND, MISS, STRIPE, hit

GROUND = -1
BACKDROP = -2


@njit(cache=True)
def bounds(view, bodies, height, width, rects):
    """Picture rectangle (left, right, top, bottom; right and bottom exclusive) about each body, empty if unseen."""
    pixels = view[12] * 0.5 * min(height, width)
    for n in range(bodies.shape[0]):
        body = bodies[n]
        reach = BOUND[int(body[0])] * body[1]
        x, y, z = body[2] - view[0], body[3] - view[1], body[4] - view[2]
        depth = x * view[9] + y * view[10] + z * view[11]
        rects[n, :] = 0
        if body[21] == 0.0 or depth <= -reach:
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


@njit(cache=True)
def ray(view, height, width, x, y):
    """Unit direction through the picture point (x, y), in pixels from the upper left corner."""
    scale = 2.0 / (min(height, width) * view[12])
    u, v = (x - 0.5 * width) * scale, (0.5 * height - y) * scale
    dx = view[9] + u * view[3] + v * view[6]
    dy = view[10] + u * view[4] + v * view[7]
    dz = view[11] + u * view[5] + v * view[8]
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    return dx / length, dy / length, dz / length


@njit(cache=True)
def inward(body, x, y, z):
    """A world point in the body's own space, in half extents."""
    x, y, z = x - body[2], y - body[3], z - body[4]
    scale = 1.0 / body[1]
    return (
        scale * (body[5] * x + body[8] * y + body[11] * z),
        scale * (body[6] * x + body[9] * y + body[12] * z),
        scale * (body[7] * x + body[10] * y + body[13] * z),
    )


@njit(cache=True)
def turn_in(body, x, y, z):
    """A world direction in the body's own axes."""
    return (
        body[5] * x + body[8] * y + body[11] * z,
        body[6] * x + body[9] * y + body[12] * z,
        body[7] * x + body[10] * y + body[13] * z,
    )


@njit(cache=True)
def turn_out(body, x, y, z):
    """A direction in the body's own axes in the world's."""
    return (
        body[5] * x + body[6] * y + body[7] * z,
        body[8] * x + body[9] * y + body[10] * z,
        body[11] * x + body[12] * y + body[13] * z,
    )


@njit(cache=True)
def find(eye_x, eye_y, eye_z, dx, dy, dz, bodies, rects, px, py):
    """(index, face, t, local x, y, z): nearest hit of a ray that passes through pixel (px, py)."""
    index, face, t = BACKDROP, 0, MISS
    lx = ly = lz = 0.0
    if dy < -1e-6:
        index, t = GROUND, -eye_y / dy
    for n in range(bodies.shape[0]):
        if px < rects[n, 0] or px >= rects[n, 1] or py < rects[n, 2] or py >= rects[n, 3]:
            continue
        body = bodies[n]
        ox, oy, oz = inward(body, eye_x, eye_y, eye_z)
        ex, ey, ez = turn_in(body, dx, dy, dz)
        scale = 1.0 / body[1]
        ex, ey, ez = ex * scale, ey * scale, ez * scale
        s, side = hit(int(body[0]), ox, oy, oz, ex, ey, ez)
        if s < t:
            index, face, t = n, side, s
            lx, ly, lz = ox + s * ex, oy + s * ey, oz + s * ez
    return index, face, t, lx, ly, lz


@njit(cache=True)
def striped(lx):
    """Whether a surface point lies on the solid's stripe."""
    return abs(lx) < STRIPE


@njit(cache=True)
def key(index, face, lx):
    """One number for the surface under a pixel: neighbours with another number share an edge."""
    if index < 0:
        return index
    return index * 64 + face * 2 + (1 if striped(lx) else 0)
