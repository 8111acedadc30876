"""The six solids as closed formulas: where a ray hits, the normal there, distance, and lowest point.

Everything is in a solid's own space: middle at the origin, half extent about 1, axis along y. A ray is (o, d)
with d of any length, to which t belongs. Distance formulas follow I. Quilez, "Distance functions".
"""

import math

from longtake.world.compiled import Vector, leaf

SPHERE, CUBE, CYLINDER, CONE, TORUS, PYRAMID = range(6)
MISS = 1e30

CUBE_HALF = 0.80
CYLINDER_RADIUS = 0.74
CYLINDER_HALF = 0.86
CONE_RADIUS = 0.92
CONE_HALF = 0.98
PYRAMID_BASE = 0.88
PYRAMID_HALF = 0.90
TORUS_MAJOR = 0.82
TORUS_MINOR = 0.32
STRIPE = 0.16
"""Half width of the stripe that every solid bears around it, across its x axis."""
BOUND = (1.0, 1.40, 1.14, 1.36, 1.15, 1.55)
"""Radius of a sphere about each solid."""
ROLL = (1.0, 0.95, CYLINDER_RADIUS, 1.0, TORUS_MAJOR + TORUS_MINOR, 0.95)
"""Metres travelled for a radian turned, in half extents."""


@leaf
def _sphere(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    c = ox * ox + oy * oy + oz * oz - 1.0
    h = b * b - a * c
    if h < 0.0:
        return MISS, 0
    t = (-b - math.sqrt(h)) / a
    return (t, 0) if t > 0.0 else (MISS, 0)


@leaf
def _slab(
    o: float, d: float, low: float, high: float, near: float, far: float, face: int, index: int
) -> tuple[float, float, int]:
    """Clip the ray's span [near, far] to low <= o + t d <= high; the face is the one entered by."""
    if abs(d) < 1e-12:
        if o < low or o > high:
            return MISS, far, face
        return near, far, face
    t0, t1 = (low - o) / d, (high - o) / d
    entered = index
    if t0 > t1:
        t0, t1 = t1, t0
        entered = index + 1
    if t0 > near:
        near, face = t0, entered
    return near, min(far, t1), face


@leaf
def _cube(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    near, far, face = 0.0, MISS, -1
    near, far, face = _slab(ox, dx, -CUBE_HALF, CUBE_HALF, near, far, face, 0)
    near, far, face = _slab(oy, dy, -CUBE_HALF, CUBE_HALF, near, far, face, 2)
    near, far, face = _slab(oz, dz, -CUBE_HALF, CUBE_HALF, near, far, face, 4)
    return (near, face) if near < far and face >= 0 else (MISS, 0)


@leaf
def _quadric(a: float, b: float, c: float) -> tuple[float, float]:
    """Both roots of a t² + 2 b t + c, smaller first; MISS twice if there are none."""
    h = b * b - a * c
    if h < 0.0 or abs(a) < 1e-14:
        return MISS, MISS
    root = math.sqrt(h)
    t0, t1 = (-b - root) / a, (-b + root) / a
    return (t0, t1) if t0 < t1 else (t1, t0)


@leaf
def _cylinder(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    best, face = MISS, 0
    t0, _ = _quadric(
        dx * dx + dz * dz, ox * dx + oz * dz, ox * ox + oz * oz - CYLINDER_RADIUS * CYLINDER_RADIUS
    )
    if 0.0 < t0 < MISS and abs(oy + t0 * dy) <= CYLINDER_HALF:
        best = t0
    if abs(dy) > 1e-12:
        end = -CYLINDER_HALF if dy > 0.0 else CYLINDER_HALF
        t = (end - oy) / dy
        x, z = ox + t * dx, oz + t * dz
        if 0.0 < t < best and x * x + z * z <= CYLINDER_RADIUS * CYLINDER_RADIUS:
            best, face = t, 2 if dy > 0.0 else 1
    return best, face


@leaf
def _cone(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    best, face = MISS, 0
    k = CONE_RADIUS / (2.0 * CONE_HALF)
    y = CONE_HALF - oy
    t0, t1 = _quadric(
        dx * dx + dz * dz - k * k * dy * dy,
        ox * dx + oz * dz + k * k * y * dy,
        ox * ox + oz * oz - k * k * y * y,
    )
    for t in (t0, t1):
        if 0.0 < t < best and abs(oy + t * dy) <= CONE_HALF:
            best = t
    if dy > 1e-12:
        t = (-CONE_HALF - oy) / dy
        x, z = ox + t * dx, oz + t * dz
        if 0.0 < t < best and x * x + z * z <= CONE_RADIUS * CONE_RADIUS:
            best, face = t, 1
    return best, face


@leaf
def _pyramid(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    """Clip against five half spaces n·p <= e: the base, and four sides x,z = ±base (half - y) / (2 half)."""
    near, far, face = 0.0, MISS, -1
    k = PYRAMID_BASE / (2.0 * PYRAMID_HALF)
    for i in range(5):
        if i == 0:
            slope, gap = -dy, PYRAMID_HALF + oy
        else:
            o = ox if i < 3 else oz
            d = dx if i < 3 else dz
            sign = 1.0 if i % 2 == 1 else -1.0
            slope, gap = sign * d + k * dy, k * PYRAMID_HALF - (sign * o + k * oy)
        if slope == 0.0:
            if gap < 0.0:
                return MISS, 0
            continue
        t = gap / slope
        if slope < 0.0:
            if t > near:
                near, face = t, i
        elif t < far:
            far = t
    return (near, face) if near < far and face >= 0 else (MISS, 0)


@leaf
def _torus(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    """Sphere tracing between the entry and the exit of the bounding slab and sphere."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx / length, dy / length, dz / length
    outer = TORUS_MAJOR + TORUS_MINOR
    b = ox * dx + oy * dy + oz * dz
    h = b * b - (ox * ox + oy * oy + oz * oz - outer * outer)
    if h < 0.0:
        return MISS, 0
    root = math.sqrt(h)
    t, end = max(-b - root, 0.0), -b + root
    t, end, _ = _slab(oy, dy, -TORUS_MINOR, TORUS_MINOR, t, end, 0, 0)
    for _ in range(64):
        if t > end:
            return MISS, 0
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        q = math.sqrt(x * x + z * z) - TORUS_MAJOR
        gap = math.sqrt(q * q + y * y) - TORUS_MINOR
        if gap < 1e-5:
            return t / length, 0
        t += gap
    return MISS, 0


@leaf
def hit(shape: int, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    """(t, face) of the first hit from outside; t is MISS when there is none."""
    if shape == SPHERE:
        return _sphere(ox, oy, oz, dx, dy, dz)
    if shape == CUBE:
        return _cube(ox, oy, oz, dx, dy, dz)
    if shape == CYLINDER:
        return _cylinder(ox, oy, oz, dx, dy, dz)
    if shape == CONE:
        return _cone(ox, oy, oz, dx, dy, dz)
    if shape == TORUS:
        return _torus(ox, oy, oz, dx, dy, dz)
    return _pyramid(ox, oy, oz, dx, dy, dz)


@leaf
def normal(shape: int, face: int, x: float, y: float, z: float) -> Vector:
    """Unit outward normal at a surface point."""
    if shape == SPHERE:
        return x, y, z
    if shape == CUBE:
        sign = -1.0 if face % 2 == 0 else 1.0
        axis = face // 2
        return (sign if axis == 0 else 0.0), (sign if axis == 1 else 0.0), (sign if axis == 2 else 0.0)
    if shape == CYLINDER:
        if face > 0:
            return 0.0, (1.0 if face == 1 else -1.0), 0.0
        return x / CYLINDER_RADIUS, 0.0, z / CYLINDER_RADIUS
    if shape == CONE:
        if face == 1:
            return 0.0, -1.0, 0.0
        k = CONE_RADIUS / (2.0 * CONE_HALF)
        ring = max(math.sqrt(x * x + z * z), 1e-9)
        scale = 1.0 / math.sqrt(1.0 + k * k)
        return scale * x / ring, scale * k, scale * z / ring
    if shape == TORUS:
        ring = max(math.sqrt(x * x + z * z), 1e-9)
        pull = (1.0 - TORUS_MAJOR / ring) / TORUS_MINOR
        return x * pull, y / TORUS_MINOR, z * pull
    if face == 0:
        return 0.0, -1.0, 0.0
    k = PYRAMID_BASE / (2.0 * PYRAMID_HALF)
    scale = 1.0 / math.sqrt(1.0 + k * k)
    sign = scale if face % 2 == 1 else -scale
    return (sign if face < 3 else 0.0), scale * k, (sign if face > 2 else 0.0)


@leaf
def _flat(x: float, y: float, half_x: float, half_y: float) -> float:
    """Distance to a rectangle |x| <= half_x, |y| <= half_y."""
    x, y = abs(x) - half_x, abs(y) - half_y
    u, v = max(x, 0.0), max(y, 0.0)
    return min(max(x, y), 0.0) + math.sqrt(u * u + v * v)


@leaf
def _cone_distance(ring: float, y: float) -> float:
    side_x, side_y = -CONE_RADIUS, 2.0 * CONE_HALF
    s = ((ring - CONE_RADIUS) * side_x + (y + CONE_HALF) * side_y) / (side_x * side_x + side_y * side_y)
    s = min(max(s, 0.0), 1.0)
    u, v = ring - CONE_RADIUS - s * side_x, y + CONE_HALF - s * side_y
    base = max(ring - CONE_RADIUS, 0.0)
    w = y + CONE_HALF
    distance = math.sqrt(min(u * u + v * v, base * base + w * w))
    inside = w > 0.0 and ring < CONE_RADIUS * (CONE_HALF - y) / (2.0 * CONE_HALF)
    return -distance if inside else distance


@leaf
def distance(shape: int, x: float, y: float, z: float) -> float:
    """Distance to the surface, negative inside; for the pyramid a lower bound."""
    if shape == SPHERE:
        return math.sqrt(x * x + y * y + z * z) - 1.0
    if shape == CUBE:
        u, v, w = abs(x) - CUBE_HALF, abs(y) - CUBE_HALF, abs(z) - CUBE_HALF
        a, b, c = max(u, 0.0), max(v, 0.0), max(w, 0.0)
        return min(max(u, max(v, w)), 0.0) + math.sqrt(a * a + b * b + c * c)
    if shape == PYRAMID:
        k = PYRAMID_BASE / (2.0 * PYRAMID_HALF)
        side = (max(abs(x), abs(z)) - k * (PYRAMID_HALF - y)) / math.sqrt(1.0 + k * k)
        return max(side, -PYRAMID_HALF - y)
    ring = math.sqrt(x * x + z * z)
    if shape == CYLINDER:
        return _flat(ring, y, CYLINDER_RADIUS, CYLINDER_HALF)
    if shape == CONE:
        return _cone_distance(ring, y)
    q = ring - TORUS_MAJOR
    return math.sqrt(q * q + y * y) - TORUS_MINOR


@leaf
def support(shape: int, x: float, y: float, z: float) -> float:
    """How far the solid extends in the unit direction (x, y, z)."""
    flat = math.sqrt(max(1.0 - y * y, 0.0))
    if shape == SPHERE:
        return 1.0
    if shape == CUBE:
        return CUBE_HALF * (abs(x) + abs(y) + abs(z))
    if shape == CYLINDER:
        return CYLINDER_RADIUS * flat + CYLINDER_HALF * abs(y)
    if shape == CONE:
        return max(CONE_HALF * y, CONE_RADIUS * flat - CONE_HALF * y)
    if shape == TORUS:
        return TORUS_MAJOR * flat + TORUS_MINOR
    return max(PYRAMID_HALF * y, PYRAMID_BASE * (abs(x) + abs(z)) - PYRAMID_HALF * y)
