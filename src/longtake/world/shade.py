"""From a hit to light: one key light with soft shadows, a pale studio sky, matte and metal.

Soft shadows march the solids' distance formulas (I. Quilez, "Soft shadows in raymarched SDFs"). Linear light.
"""

import math

from numba import njit

from .palette import TILE, TILE_METRES
from .shapes import BOUND, distance, normal
from .trace import GROUND, inward, striped, turn_in, turn_out

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


@njit(cache=True)
def _texel(tile, side, x, y, part):
    """Bilinear value of a tile level of a power-of-two side at (x, y) in its texels."""
    fx, fy = math.floor(x), math.floor(y)
    u, v = x - fx, y - fy
    x0, y0 = int(fx) & (side - 1), int(fy) & (side - 1)
    x1, y1 = (x0 + 1) & (side - 1), (y0 + 1) & (side - 1)
    start = (4 * TILE * TILE - 4 * side * side) // 3
    a, b, c, d = start + y0 * side + x0, start + y0 * side + x1, start + y1 * side + x0, start + y1 * side + x1
    wa, wb, wc, wd = (1 - u) * (1 - v) * part, u * (1 - v) * part, (1 - u) * v * part, u * v * part
    return (
        wa * tile[a, 0] + wb * tile[b, 0] + wc * tile[c, 0] + wd * tile[d, 0],
        wa * tile[a, 1] + wb * tile[b, 1] + wc * tile[c, 1] + wd * tile[d, 1],
        wa * tile[a, 2] + wb * tile[b, 2] + wc * tile[c, 2] + wd * tile[d, 2],
    )


@njit(cache=True)
def _texture(tile, ground, x, z, footprint):
    """Colour of the ground at (x, z), averaged over a footprint in metres. ground: [cos, sin, shift x, shift z]."""
    u = (ground[0] * x + ground[1] * z) / TILE_METRES + ground[2]
    v = (ground[0] * z - ground[1] * x) / TILE_METRES + ground[3]
    level = max(math.log2(footprint * TILE / TILE_METRES), 0.0)
    first = min(int(level), 7)
    part = min(level - first, 1.0)
    side = TILE >> first
    r, g, b = _texel(tile, side, u * side - 0.5, v * side - 0.5, 1.0 - part)
    side >>= 1
    r1, g1, b1 = _texel(tile, side, u * side - 0.5, v * side - 0.5, part)
    return r + r1, g + g1, b + b1


@njit(cache=True)
def _march(shape, ox, oy, oz, dx, dy, dz, near, far):
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


@njit(cache=True)
def daylight(x, y, z, light, bodies, skip):
    """(share of key light, share of sky light) that reaches a point, bodies in the way but `skip`."""
    sun = sky = 1.0
    for n in range(bodies.shape[0]):
        body = bodies[n]
        if n == skip or body[21] == 0.0:
            continue
        scale = 1.0 / body[1]
        ox, oy, oz = (x - body[2]) * scale, (y - body[3]) * scale, (z - body[4]) * scale
        along = ox * light[0] + oy * light[1] + oz * light[2]
        square = ox * ox + oy * oy + oz * oz
        bound = BOUND[int(body[0])] + 0.45
        reach = bound * bound - (square - along * along)
        shaded = reach > 0.0 and (along < 0.0 or square < bound * bound)
        near = skip == GROUND and square < 4.0
        if not (shaded or near):
            continue
        lx, ly, lz = turn_in(body, ox, oy, oz)
        if shaded:
            ex, ey, ez = turn_in(body, light[0], light[1], light[2])
            root = math.sqrt(reach)
            sun *= _march(int(body[0]), lx, ly, lz, ex, ey, ez, -along - root, -along + root)
        if near:
            gap = max(1.0 - max(distance(int(body[0]), lx, ly, lz), 0.0) / 0.75, 0.0)
            sky *= 1.0 - 0.55 * gap * gap
    return sun, sky


@njit(cache=True)
def backdrop(dy):
    """Colour of the studio wall in a direction, by its height."""
    up = min(max(dy * 1.6 + 0.05, 0.0), 1.0)
    return (
        BACKDROP_LOW[0] + up * (BACKDROP_HIGH[0] - BACKDROP_LOW[0]),
        BACKDROP_LOW[1] + up * (BACKDROP_HIGH[1] - BACKDROP_LOW[1]),
        BACKDROP_LOW[2] + up * (BACKDROP_HIGH[2] - BACKDROP_LOW[2]),
    )


@njit(cache=True)
def floor(x, z, dy, t, pixel, light, bodies, tile, ground):
    """Colour of the ground at (x, z), t metres away; pixel is the angle of a pixel in radians."""
    r, g, b = _texture(tile, ground, x, z, t * pixel / math.sqrt(max(-dy, 0.02)))
    sun, sky = daylight(x, 0.0, z, light, bodies, GROUND)
    sun *= light[1]
    far = max(t - HAZE_START, 0.0)
    haze = 1.0 - math.exp(-HAZE * far * far)
    wall_r, wall_g, wall_b = backdrop(dy)
    r *= KEY[0] * sun + SKY[0] * sky
    g *= KEY[1] * sun + SKY[1] * sky
    b *= KEY[2] * sun + SKY[2] * sky
    return r + haze * (wall_r - r), g + haze * (wall_g - g), b + haze * (wall_b - b)


@njit(cache=True)
def _mirror(rx, ry, rz, light, bounce, channel):
    """What a metal solid sees in a direction: floor below, wall above, a soft box about the key light."""
    if ry < 0.0:
        base = bounce[channel] * (0.75 + 0.25 * ry)
    else:
        base = 0.80 - 0.35 * ry
    lamp = (rx * light[0] + ry * light[1] + rz * light[2] - 0.80) / 0.16
    lamp = min(max(lamp, 0.0), 1.0)
    return base + 1.5 * lamp * lamp


@njit(cache=True)
def surface(index, face, lx, ly, lz, x, y, z, dx, dy, dz, light, bodies, bounce):
    """Colour of a solid's surface at a hit. bounce: mean colour of the ground."""
    body = bodies[index]
    nx, ny, nz = normal(int(body[0]), face, lx, ly, lz)
    nx, ny, nz = turn_out(body, nx, ny, nz)
    paint = 18 if striped(lx) else 15
    lean = nx * light[0] + ny * light[1] + nz * light[2]
    sun, _ = daylight(x, y, z, light, bodies, index)
    wrap = max((lean + 0.22) / 1.22, 0.0) * sun
    up = 0.5 + 0.5 * ny
    rise = min(y / (0.9 * body[1]), 1.0)
    contact = 0.66 + 0.34 * rise * (2.0 - rise)
    hx, hy, hz = light[0] - dx, light[1] - dy, light[2] - dz
    gleam = max((nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz), 0.0)
    gleam *= gleam
    gleam *= gleam
    gleam *= gleam
    gleam *= gleam
    facing = -2.0 * (nx * dx + ny * dy + nz * dz)
    rx, ry, rz = dx + facing * nx, dy + facing * ny, dz + facing * nz
    metal = body[14] == 1.0
    red = green = blue = 0.0
    for c in range(3):
        colour = body[paint + c]
        ambient = (up * SKY[c] * 1.15 + (1.0 - up) * 0.45 * bounce[c]) * contact
        value = colour * (KEY[c] * wrap + ambient)
        if metal:
            shine = (0.07 + 0.93 * colour) * _mirror(rx, ry, rz, light, bounce, c) * contact
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
