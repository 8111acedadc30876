"""Where a solid is at any time. Paths are closed functions of time: any frame can be had without its past."""

import math

import numpy as np

from longtake.world.camera import wave
from longtake.world.compiled import leaf
from longtake.world.shapes import support
from longtake.world.solid import Leg, Solid
from longtake.world.vocabulary import MATERIALS, MOTIONS, SHAPES

BLEND = 0.5
"""Seconds in which one leg fades into the next."""
TINT = 0.25
"""Seconds of a change of colour."""
TRAVEL = 1.6
"""Seconds of entering or leaving."""
FAR = 6.0
"""Metres to the side from which solids enter."""
REST = 0.18
"""Share of a jump's period spent on the ground."""
SLIDE, ROLL, BOUNCE, ORBIT, JUMP, STAY = range(6)

LEG_SIZE = 17
BODY_SIZE = 22
"""A packed body: shape 0, radius 1, middle 2-4, rotation 5-13 (local to world, by rows), material 14, colour
15-17, stripe's colour 18-20, in view 21."""
Turn = tuple[float, float, float, float]
Place = tuple[float, float, float, float, float, float, float]


@leaf
def smooth(x: float) -> float:
    """0 below 0, 1 above 1, and an S between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


@leaf
def _times(aw: float, ax: float, ay: float, az: float, bw: float, bx: float, by: float, bz: float) -> Turn:
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


@leaf
def _hop(motion: int, leg: np.ndarray, elapsed: float) -> float:
    """Height above the ground of bounce and jump."""
    if motion != BOUNCE and motion != JUMP:
        return 0.0
    part = elapsed / leg[8] + leg[9]
    part -= math.floor(part)
    if motion == JUMP:
        part = min(part / (1.0 - REST), 1.0)
    return 4.0 * leg[7] * part * (1.0 - part)


@leaf
def follow(leg: np.ndarray, seconds: float) -> Place:
    """(x, z, hop, w, i, j, k): ground position, height and orientation of one packed leg at a time."""
    elapsed = seconds - leg[0]
    motion = int(leg[1])
    x, z = leg[2], leg[3]
    qw, qx, qy, qz = leg[10], leg[11], leg[12], leg[13]
    if motion <= BOUNCE:
        along = leg[5] * wave(leg[15] * elapsed + leg[6])
        cosine, sine = math.cos(leg[4]), math.sin(leg[4])
        x, z = x + along * cosine, z + along * sine
        if motion == ROLL:
            half = 0.5 * leg[14] * (along - leg[5] * wave(leg[6]))
            s = math.sin(half)
            qw, qx, qy, qz = _times(math.cos(half), s * sine, 0.0, -s * cosine, qw, qx, qy, qz)
    elif motion == ORBIT:
        turned = leg[15] * elapsed
        x, z = x + leg[5] * math.cos(leg[6] + turned), z + leg[5] * math.sin(leg[6] + turned)
        qw, qx, qy, qz = _times(math.cos(0.5 * turned), 0.0, -math.sin(0.5 * turned), 0.0, qw, qx, qy, qz)
    return x, z, _hop(motion, leg, elapsed), qw, qx, qy, qz


@leaf
def _alike(one: np.ndarray, other: np.ndarray, seconds: float) -> bool:
    """Whether the quaternions of two legs are on the same side at a time, so that the short way leads from one to the
    other."""
    _, _, _, pw, px, py, pz = follow(one, seconds)
    _, _, _, qw, qx, qy, qz = follow(other, seconds)
    return pw * qw + px * qx + py * qy + pz * qz >= 0.0


@leaf
def locate(legs: np.ndarray, count: int, seconds: float) -> Place:
    """`follow` for the leg in force, faded in from the one before it."""
    index = 0
    for i in range(1, count):
        if legs[i, 0] <= seconds:
            index = i
    x, z, hop, qw, qx, qy, qz = follow(legs[index], seconds)
    elapsed = seconds - legs[index, 0]
    if index > 0 and elapsed < BLEND:
        w = smooth(elapsed / BLEND)
        x0, z0, hop0, pw, px, py, pz = follow(legs[index - 1], seconds)
        x, z, hop = x0 + w * (x - x0), z0 + w * (z - z0), hop0 + w * (hop - hop0)
        v = (1.0 - w) if _alike(legs[index - 1], legs[index], legs[index, 0]) else w - 1.0
        qw, qx, qy, qz = v * pw + w * qw, v * px + w * qx, v * py + w * qy, v * pz + w * qz
        length = max(math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz), 1e-9)
        qw, qx, qy, qz = qw / length, qx / length, qy / length, qz / length
    return x, z, hop, qw, qx, qy, qz


@leaf
def _orient(body: np.ndarray, w: float, x: float, y: float, z: float) -> None:
    body[5], body[6], body[7] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    body[8], body[9], body[10] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    body[11], body[12], body[13] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)


@leaf
def _paint(tints: np.ndarray, count: int, seconds: float, body: np.ndarray) -> None:
    """Colours [tints, 7] (start, body rgb, accent rgb) at a time."""
    for c in range(6):
        value = tints[0, 1 + c]
        for i in range(1, count):
            value += smooth((seconds - tints[i, 0]) / TINT) * (tints[i, 1 + c] - value)
        body[15 + c] = value


@leaf
def embody(
    fixed: np.ndarray,
    legs: np.ndarray,
    leg_counts: np.ndarray,
    tints: np.ndarray,
    tint_counts: np.ndarray,
    seconds: float,
    bodies: np.ndarray,
) -> None:
    """Fill packed bodies [N, BODY_SIZE] for a time; the rest as from `pack_legs`, `pack_tints` and `pack_fixed`."""
    for n in range(fixed.shape[0]):
        body = bodies[n]
        x, z, hop, qw, qx, qy, qz = locate(legs[n], leg_counts[n], seconds)
        entering = smooth((seconds - fixed[n, 3]) / TRAVEL)
        leaving = smooth((seconds - fixed[n, 4]) / TRAVEL)
        x += fixed[n, 5] * FAR * (1.0 - entering + leaving)
        body[0], body[1], body[14] = fixed[n, 0], fixed[n, 1], fixed[n, 2]
        body[21] = 1.0 if entering > 0.0 and leaving < 1.0 else 0.0
        _orient(body, qw, qx, qy, qz)
        low = support(int(body[0]), -body[8], -body[9], -body[10])
        body[2], body[3], body[4] = x, body[1] * low + hop, z
        _paint(tints[n], tint_counts[n], seconds, body)


def pack_leg(leg: Leg) -> list[float]:
    """A leg as the row that `follow` takes."""
    head = [leg.start, MOTIONS.index(leg.motion), *leg.origin, leg.heading, leg.reach, leg.phase]
    return [*head, leg.hop, leg.hop_period, leg.hop_phase, *leg.pose, leg.spin, leg.rate, 0.0]


def pack_legs(solids: tuple[Solid, ...]) -> tuple[np.ndarray, np.ndarray]:
    """All legs [N, most legs, LEG_SIZE] float64 and how many each solid has [N]."""
    counts = np.array([len(solid.legs) for solid in solids], dtype=np.int64)
    legs = np.zeros((len(solids), int(counts.max(initial=1)), LEG_SIZE))
    for n, solid in enumerate(solids):
        legs[n, : counts[n]] = [pack_leg(leg) for leg in solid.legs]
    return legs, counts


def middle(solid: Solid, seconds: float) -> tuple[float, float, float]:
    """The solid's middle at a time, in metres."""
    legs, counts = pack_legs((solid,))
    tints, tint_counts = np.zeros((1, 1, 7)), np.ones(1, dtype=np.int64)
    bodies = np.zeros((1, BODY_SIZE))
    embody(pack_fixed((solid,)), legs, counts, tints, tint_counts, seconds, bodies)
    return (float(bodies[0, 2]), float(bodies[0, 3]), float(bodies[0, 4]))


def pack_fixed(solids: tuple[Solid, ...]) -> np.ndarray:
    """What never changes: shape, radius, material, enters, leaves, side; [N, 6] float64."""
    rows = [
        [
            SHAPES.index(solid.shape),
            solid.radius,
            MATERIALS.index(solid.material),
            -1e9 if solid.enters is None else solid.enters,
            1e9 if solid.leaves is None else solid.leaves,
            solid.side,
        ]
        for solid in solids
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 6)


def pack_tints(
    solids: tuple[Solid, ...], palette: dict[str, tuple[float, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Colours over time [N, most tints, 7] and their counts [N], in the palette's linear light."""
    counts = np.array([len(solid.tints) for solid in solids], dtype=np.int64)
    tints = np.zeros((len(solids), int(counts.max(initial=1)), 7))
    for n, solid in enumerate(solids):
        tints[n, : counts[n]] = [[tint.start, *palette[tint.colour]] for tint in solid.tints]
    return tints, counts
