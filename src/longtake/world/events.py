"""What can happen to a solid at a moment: each function gives the solid as it goes on."""

import math
from dataclasses import dataclass, replace

import numpy as np

from longtake.world.camera import TURN
from longtake.world.leg import heading_at, sample_leg
from longtake.world.motion import BLEND, follow, pack_leg
from longtake.world.pose import rolling_pose, settled
from longtake.world.solid import Leg, Quaternion, Solid, Tint
from longtake.world.vocabulary import TRAVELLING

SETTLE = 0.5 * BLEND
"""Seconds a solid still drifts when it stops."""
INSTANT = 1e-3
"""Seconds ahead that tell the direction of the very moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happens to one solid."""

    kind: str
    """One of vocabulary.EVENTS."""
    at: float
    """Seconds."""
    solid: int
    """Index of the solid."""


def _place(leg: Leg, seconds: float) -> tuple[tuple[float, float], Quaternion]:
    """Ground position and orientation on a leg."""
    x, z, _, w, i, j, k = follow(np.array(pack_leg(leg)), seconds)
    return (x, z), (w, i, j, k)


def _phase(share: float) -> float:
    """The rising phase at which a path has the given share of its reach."""
    return math.asin(math.sin(share * math.asin(TURN)) / TURN)


def _aim(leg: Leg, spot: tuple[float, float], home: tuple[float, float]) -> Leg:
    """Shift a travelling leg so that it starts at a spot and heads for the longer side of its path."""
    ahead, aside = math.cos(leg.heading), math.sin(leg.heading)
    along = (spot[0] - home[0]) * ahead + (spot[1] - home[1]) * aside
    across = (spot[1] - home[1]) * ahead - (spot[0] - home[0]) * aside
    heading = leg.heading
    if along > 0.0:
        heading, along = heading + math.pi, -along
    origin = (home[0] - across * aside, home[1] + across * ahead)
    return replace(leg, origin=origin, heading=heading, phase=_phase(max(along / leg.reach, -0.95)))


def _continue(leg: Leg, solid: Solid, spot: tuple[float, float], pose: Quaternion) -> Leg:
    """Fit a freshly drawn leg to where a solid is."""
    if leg.motion in TRAVELLING:
        leg = _aim(leg, spot, solid.home)
        return replace(leg, pose=rolling_pose(solid.shape, leg.heading) if leg.motion == "roll" else pose)
    if leg.motion == "orbit":
        x, z = spot[0] - solid.home[0], spot[1] - solid.home[1]
        reach = min(max(math.hypot(x, z), 0.65 * leg.reach), leg.reach)
        return replace(leg, reach=reach, phase=math.atan2(z, x), pose=pose)
    return replace(leg, origin=spot, pose=pose)


def change_motion(solid: Solid, at: float, motion: str, rng: np.random.Generator) -> Solid:
    """The solid with another motion from a time on, from where it is by then."""
    before = solid.leg(at)
    leg = sample_leg(
        rng, motion=motion, shape=solid.shape, radius=solid.radius, home=solid.home, room=solid.room
    )
    spot, pose = _place(before, at + SETTLE if motion in ("jump", "stay") else at)
    leg = _continue(leg, solid, spot, settled(solid.shape, pose))
    return replace(solid, legs=(*solid.legs, replace(leg, start=at, hop_phase=0.0)))


def stop(solid: Solid, at: float) -> Solid:
    """The solid that comes to rest at a time."""
    before = solid.leg(at)
    spot, pose = _place(before, at + SETTLE)
    leg = Leg(start=at, motion="stay", origin=spot, pose=settled(solid.shape, pose))
    return replace(solid, legs=(*solid.legs, leg))


def reverse(solid: Solid, at: float) -> Solid:
    """The travelling or orbiting solid that goes back the way it came from a time on."""
    before = solid.leg(at)
    spot, pose = _place(before, at)
    if before.motion == "orbit":
        phase = before.phase + before.rate * (at - before.start)
        leg = replace(before, start=at, rate=-before.rate, phase=phase, pose=pose)
        return replace(solid, legs=(*solid.legs, leg))
    heading = heading_at(before, at, INSTANT) + math.pi
    along = (spot[0] - before.origin[0]) * math.cos(heading) + (spot[1] - before.origin[1]) * math.sin(
        heading
    )
    share = min(max(along / before.reach, -0.95), 0.95)
    hops = (before.hop_phase + (at - before.start) / before.hop_period) % 1.0
    leg = replace(before, start=at, heading=heading, phase=_phase(share), pose=pose, hop_phase=hops)
    return replace(solid, legs=(*solid.legs, leg))


def change_colour(solid: Solid, at: float, colour: str) -> Solid:
    """The solid that turns another colour at a time."""
    return replace(solid, tints=(*solid.tints, Tint(start=at, colour=colour)))


def enter(solid: Solid, at: float) -> Solid:
    """The solid that comes into view at a time."""
    return replace(solid, enters=at)


def leave(solid: Solid, at: float) -> Solid:
    """The solid that goes out of view at a time."""
    return replace(solid, leaves=at)
