"""Drawing the legs of a solid's path inside the ground that it has to itself."""

import math

import numpy as np

from longtake.world.camera import wave
from longtake.world.pose import AXLED, rolling_pose, upright
from longtake.world.shapes import ROLL
from longtake.world.solid import Leg
from longtake.world.vocabulary import DIRECTIONS, SHAPES, TRAVELLING

AHEAD = 1.6
"""Seconds looked ahead to tell the direction of a path."""
SPEED = (0.5, 0.68)
"""Metres a second of slides, rolls and bounces: a few pixels a frame at 8 frames a second and 96 pixels, and a path
keeps its direction for about three seconds."""
ORBIT = (6.0, 8.0)
"""Seconds of a round of an orbit."""
CORNERED = ("cube", "pyramid")
"""Shapes that show two sides rather than one, unless they roll."""
_HEADINGS = {"right": 0.0, "towards": 0.5 * math.pi, "left": math.pi, "away": -0.5 * math.pi}


def spin(shape: str, radius: float) -> float:
    """Radians that a rolling shape turns for each metre."""
    return 1.0 / (radius * ROLL[SHAPES.index(shape)])


def direction_of(heading: float) -> str:
    """The word for a heading."""
    x, z = math.cos(heading), math.sin(heading)
    if abs(x) >= abs(z):
        return "right" if x > 0 else "left"
    return "towards" if z > 0 else "away"


def heading_at(leg: Leg, seconds: float, ahead: float = AHEAD) -> float:
    """Where a travelling leg goes in the next moments, as its path turns at its bounds."""
    elapsed = max(seconds, 0.0) - leg.start
    onward = wave(leg.rate * (elapsed + ahead) + leg.phase) >= wave(leg.rate * elapsed + leg.phase)
    return leg.heading if onward else leg.heading + math.pi


def sample_heading(rng: np.random.Generator, shape: str, motion: str, room: tuple[float, float]) -> float:
    """A direction of travel for which there is room, a little off the axes; wheels show their side."""
    sideways = room[1] < 0.5 or (motion == "roll" and shape == "torus")
    choices = DIRECTIONS[:2] if sideways else DIRECTIONS
    lean = rng.uniform(-0.12, 0.12)
    if motion == "roll" and shape in AXLED and room[1] >= 0.5:
        lean = math.copysign(rng.uniform(0.25, 0.42), lean)
    return _HEADINGS[choices[rng.integers(len(choices))]] + lean


def _travel(
    rng: np.random.Generator, shape: str, motion: str, radius: float, room: tuple[float, float]
) -> dict[str, float]:
    heading = sample_heading(rng, shape, motion, room)
    cosine, sine = abs(math.cos(heading)), abs(math.sin(heading))
    reach = min(room[0] / max(cosine, 0.05), max(room[1], 0.35) / max(sine, 0.05)) * rng.uniform(0.88, 1.0)
    speed = rng.uniform(*SPEED)
    return {
        "heading": heading,
        "reach": reach,
        "rate": 0.5 * math.pi * speed / max(reach, 0.55),
        "phase": rng.uniform(-1.45, -0.6),
        "spin": spin(shape, radius) if motion == "roll" else 0.0,
    }


def _hops(rng: np.random.Generator, motion: str, radius: float) -> dict[str, float]:
    if motion not in ("bounce", "jump"):
        return {}
    height = radius * rng.uniform(1.1, 1.5)
    return {"hop": height, "hop_period": 1.5 * math.sqrt(height) + rng.uniform(0.44, 0.64)}


def sample_leg(
    rng: np.random.Generator,
    *,
    motion: str,
    shape: str,
    radius: float,
    home: tuple[float, float],
    room: tuple[float, float],
) -> Leg:
    """The leg with which a solid's path begins."""
    hops = _hops(rng, motion, radius)
    yaw = rng.uniform(0.3, 0.65) if shape in CORNERED else rng.uniform(0.0, 0.5)
    pose = upright(math.copysign(yaw, rng.uniform(-1.0, 1.0)))
    if motion in TRAVELLING:
        travel = _travel(rng, shape, motion, radius, room)
        if motion == "roll":
            pose = rolling_pose(shape, travel["heading"])
        return Leg(start=0.0, motion=motion, origin=home, pose=pose, **travel, **hops)
    if motion == "orbit":
        reach = min(min(room), 0.95) * rng.uniform(0.92, 1.0)
        rate = 2.0 * math.pi / rng.uniform(*ORBIT) * (1 if rng.random() < 0.5 else -1)
        return Leg(
            start=0.0,
            motion=motion,
            origin=home,
            reach=reach,
            rate=rate,
            phase=rng.uniform(0, 2 * math.pi),
            pose=pose,
        )
    share = rng.uniform(-0.55, 0.55, size=2)
    spot = (home[0] + room[0] * float(share[0]), home[1] + room[1] * float(share[1]))
    phase = float(rng.uniform(0.0, 1.0)) if motion == "jump" else 0.0
    return Leg(start=0.0, motion=motion, origin=spot, pose=pose, hop_phase=phase, **hops)
