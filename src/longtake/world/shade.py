"""From a hit to light: one key light with soft shadows, a pale studio sky, matte and metal.

Soft shadows march the solids' distance formulas (I. Quilez, "Soft shadows in raymarched SDFs"). Linear light.
"""

import math

import numpy as np

from longtake.world.compiled import Vector, leaf
from longtake.world.palette import TILE, TILE_METRES
from longtake.world.shapes import BOUND, distance, normal
from longtake.world.trace import GROUND, NEAR, PENUMBRA, striped, turn_in, turn_out

KEY = (0.98, 0.94, 0.87)
SKY = (0.34, 0.36, 0.40)
BACKDROP_LOW = (0.74, 0.75, 0.78)
BACKDROP_HIGH = (0.50, 0.56, 0.66)
HAZE = 0.0040
"""How fast the ground fades into the backdrop, per square metre beyond `HAZE_START`."""
HAZE_START = 7.0
SOFT = 5.0
"""Sharpness of shadows: distance over width of the penumbra."""
VIGNETTE = 0.17


@leaf
def _texel(
    tile: np.ndarray, side: int, u: float, v: float, part: float, red: float, green: float, blue: float
) -> Vector:
    """Add `part` of a tile level's bilinear value at (u, v) in tiles; side is the level's, a power of two."""
    x, y = u * side - 0.5, v * side - 0.5
    fx, fy = math.floor(x), math.floor(y)
    right, down = x - fx, y - fy
    x0, y0 = int(fx) & (side - 1), int(fy) & (side - 1)
    x1, y1 = (x0 + 1) & (side - 1), (y0 + 1) & (side - 1)
    start = (4 * TILE * TILE - 4 * side * side) // 3
    top, bottom = start + y0 * side, start + y1 * side
    wb, wd = right * (1.0 - down) * part, right * down * part
    wa, wc = (1.0 - down) * part - wb, down * part - wd
    a, b, c, d = top + x0, top + x1, bottom + x0, bottom + x1
    return (
        red + wa * tile[a, 0] + wb * tile[b, 0] + wc * tile[c, 0] + wd * tile[d, 0],
        green + wa * tile[a, 1] + wb * tile[b, 1] + wc * tile[c, 1] + wd * tile[d, 1],
        blue + wa * tile[a, 2] + wb * tile[b, 2] + wc * tile[c, 2] + wd * tile[d, 2],
    )


@leaf
def _texture(tile: np.ndarray, ground: np.ndarray, x: float, z: float, level: float) -> Vector:
    """Colour of the ground at (x, z) between two levels of its tile. ground: [cos, sin, shift x, shift z]."""
    u = (ground[0] * x + ground[1] * z) / TILE_METRES + ground[2]
    v = (ground[0] * z - ground[1] * x) / TILE_METRES + ground[3]
    first = int(level)
    part = level - first
    side = TILE >> first
    r, g, b = _texel(tile, side, u, v, 1.0 - part, 0.0, 0.0, 0.0)
    return _texel(tile, side >> 1, u, v, part, r, g, b)


@leaf
def _march(
    shape: int, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, near: float, far: float
) -> float:
    """Share of the key light that passes a body on [near, far]."""
    clear = 1.0
    t = max(near, 0.02)
    for _ in range(18):
        if t > far:
            break
        gap = distance(shape, ox + t * dx, oy + t * dy, oz + t * dz)
        if gap < 0.004:
            return 0.0
        clear = min(clear, SOFT * gap / t)
        t += min(max(gap, 0.06), 0.5)
    return clear * clear * (3.0 - 2.0 * clear)


@leaf
def _blocked(
    n: int, ox: float, oy: float, oz: float, light: np.ndarray, bodies: np.ndarray
) -> tuple[float, float]:
    """(along, reach) of the light's passage by a body's bound; reach is negative where nothing is in the way.

    The point (ox, oy, oz) is given from the body's middle, in half extents.
    """
    along = ox * light[0] + oy * light[1] + oz * light[2]
    square = ox * ox + oy * oy + oz * oz
    bound = BOUND[int(bodies[n, 0])] + PENUMBRA
    if along >= 0.0 and square >= bound * bound:
        return along, -1.0
    return along, bound * bound - (square - along * along)


@leaf
def lit_floor(x: float, z: float, light: np.ndarray, bodies: np.ndarray) -> bool:
    """Whether a point of the ground is out of every body's shadow and reach."""
    for n in range(bodies.shape[0]):
        if bodies[n, 21] == 0.0:
            continue
        scale = 1.0 / bodies[n, 1]
        ox, oy, oz = (x - bodies[n, 2]) * scale, -bodies[n, 3] * scale, (z - bodies[n, 4]) * scale
        if ox * ox + oy * oy + oz * oz < NEAR * NEAR or _blocked(n, ox, oy, oz, light, bodies)[1] > 0.0:
            return False
    return True


@leaf
def daylight(
    x: float, y: float, z: float, light: np.ndarray, bodies: np.ndarray, skip: int
) -> tuple[float, float]:
    """(share of key light, share of sky light) that reaches a point, bodies in the way but `skip`."""
    sun = sky = 1.0
    for n in range(bodies.shape[0]):
        if n == skip or bodies[n, 21] == 0.0:
            continue
        shape, scale = int(bodies[n, 0]), 1.0 / bodies[n, 1]
        ox, oy, oz = (x - bodies[n, 2]) * scale, (y - bodies[n, 3]) * scale, (z - bodies[n, 4]) * scale
        along, reach = _blocked(n, ox, oy, oz, light, bodies)
        near = skip == GROUND and ox * ox + oy * oy + oz * oz < NEAR * NEAR
        if reach <= 0.0 and not near:
            continue
        lx, ly, lz = turn_in(bodies, n, ox, oy, oz)
        if reach > 0.0:
            ex, ey, ez = turn_in(bodies, n, light[0], light[1], light[2])
            root = math.sqrt(reach)
            sun *= _march(shape, lx, ly, lz, ex, ey, ez, -along - root, -along + root)
        if near:
            gap = max(1.0 - max(distance(shape, lx, ly, lz), 0.0) / 0.75, 0.0)
            sky *= 1.0 - 0.55 * gap * gap
    return sun, sky


@leaf
def backdrop(slope: float) -> Vector:
    """Colour of the studio wall by the slope of the line of sight."""
    up = min(max(slope * 1.6 + 0.05, 0.0), 1.0)
    return (
        BACKDROP_LOW[0] + up * (BACKDROP_HIGH[0] - BACKDROP_LOW[0]),
        BACKDROP_LOW[1] + up * (BACKDROP_HIGH[1] - BACKDROP_LOW[1]),
        BACKDROP_LOW[2] + up * (BACKDROP_HIGH[2] - BACKDROP_LOW[2]),
    )


@leaf
def row(slope: float, depth: float, pixel: float) -> tuple[float, float]:
    """What ground at one depth has in common: (tile level, haze). pixel: size of a pixel at depth 1."""
    footprint = depth * pixel / math.sqrt(max(-slope, 0.02))
    level = min(max(math.log2(footprint * TILE / TILE_METRES), 0.0), 7.0)
    far = max(depth - HAZE_START, 0.0)
    return level, 1.0 - math.exp(-HAZE * far * far)


@leaf
def floor(
    x: float,
    z: float,
    slope: float,
    level: float,
    haze: float,
    sun: float,
    sky: float,
    tile: np.ndarray,
    ground: np.ndarray,
) -> Vector:
    """Colour of the ground at (x, z) under so much light, with what `row` gives."""
    r, g, b = _texture(tile, ground, x, z, level)
    wall_r, wall_g, wall_b = backdrop(slope)
    r *= KEY[0] * sun + SKY[0] * sky
    g *= KEY[1] * sun + SKY[1] * sky
    b *= KEY[2] * sun + SKY[2] * sky
    return r + haze * (wall_r - r), g + haze * (wall_g - g), b + haze * (wall_b - b)


@leaf
def _mirror(rx: float, ry: float, rz: float, light: np.ndarray, tile: np.ndarray, channel: int) -> float:
    """What a metal solid sees in a direction: floor below, wall above, a soft box about the key light."""
    base = tile[tile.shape[0] - 1, channel] * (0.75 + 0.25 * ry) if ry < 0.0 else 0.80 - 0.35 * ry
    lamp = (rx * light[0] + ry * light[1] + rz * light[2] - 0.80) / 0.16
    lamp = min(max(lamp, 0.0), 1.0)
    return base + 1.5 * lamp * lamp


@leaf
def surface(
    index: int,
    face: int,
    lx: float,
    ly: float,
    lz: float,
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
    light: np.ndarray,
    bodies: np.ndarray,
    tile: np.ndarray,
) -> Vector:
    """Colour of a solid at a hit by a ray (dx, dy, dz); the ground's mean colour is the tile's last texel."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx / length, dy / length, dz / length
    nx, ny, nz = normal(int(bodies[index, 0]), face, lx, ly, lz)
    nx, ny, nz = turn_out(bodies, index, nx, ny, nz)
    paint = 18 if striped(int(bodies[index, 0]), lx, lz) else 15
    lean = nx * light[0] + ny * light[1] + nz * light[2]
    sun, _ = daylight(x, y, z, light, bodies, index)
    wrap = max((lean + 0.22) / 1.22, 0.0) * sun
    up = 0.5 + 0.5 * ny
    rise = min(y / (0.9 * bodies[index, 1]), 1.0)
    contact = 0.66 + 0.34 * rise * (2.0 - rise)
    hx, hy, hz = light[0] - dx, light[1] - dy, light[2] - dz
    gleam = max((nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz), 0.0)
    gleam *= gleam
    gleam *= gleam
    gleam *= gleam
    gleam *= gleam
    facing = -2.0 * (nx * dx + ny * dy + nz * dz)
    rx, ry, rz = dx + facing * nx, dy + facing * ny, dz + facing * nz
    metal = bodies[index, 14] == 1.0
    red = green = blue = 0.0
    for c in range(3):
        colour = bodies[index, paint + c]
        bounce = tile[tile.shape[0] - 1, c]
        ambient = (up * SKY[c] * 1.15 + (1.0 - up) * 0.45 * bounce) * contact
        value = colour * (KEY[c] * wrap + ambient)
        if metal:
            shine = (0.07 + 0.93 * colour) * _mirror(rx, ry, rz, light, tile, c) * contact
            value = 0.50 * value + 0.52 * shine + 0.55 * gleam * gleam * gleam * sun
        else:
            value += 0.05 * gleam * sun
        if c == 0:
            red = value
        elif c == 1:
            green = value
        else:
            blue = value
    return red, green, blue
