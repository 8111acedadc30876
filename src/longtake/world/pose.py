"""Orientations as quaternions (w, x, y, z), and the poses in which solids stand and roll."""

import math

from longtake.world.solid import Quaternion

AXLED = ("cylinder", "torus")
"""Shapes that lie down on their rim to roll, and stay so."""
_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_STANDS = {
    "cube": (_X, _Y, _Z, (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
    "cone": (_Y,),
    "pyramid": (_Y,),
}
"""Axes that may point up when a shape rests; other shapes rest as they are."""


def turned(axis: tuple[float, float, float], angle: float) -> Quaternion:
    """Turned by an angle about a unit axis."""
    s = math.sin(0.5 * angle)
    return (math.cos(0.5 * angle), s * axis[0], s * axis[1], s * axis[2])


def compose(last: Quaternion, first: Quaternion) -> Quaternion:
    """Turned by `first`, then by `last`."""
    aw, ax, ay, az = last
    bw, bx, by, bz = first
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def rotate(pose: Quaternion, axis: tuple[float, float, float]) -> tuple[float, float, float]:
    """Where a vector points after a turn."""
    w, x, y, z = pose
    _, i, j, k = compose(compose(pose, (0.0, *axis)), (w, -x, -y, -z))
    return (i, j, k)


def upright(yaw: float) -> Quaternion:
    """Standing, turned by yaw about the vertical."""
    return turned(_Y, yaw)


def rolling_pose(shape: str, heading: float) -> Quaternion:
    """The pose in which a shape rolls along a heading: its axle level and across the path."""
    facing = upright(-heading)
    return compose(facing, turned(_X, 0.5 * math.pi)) if shape in AXLED else facing


def settled(shape: str, pose: Quaternion) -> Quaternion:
    """The pose nearest to a given one in which the shape rests on the ground."""
    if shape not in _STANDS:
        return pose
    x, y, z = max((rotate(pose, axis) for axis in _STANDS[shape]), key=lambda axis: axis[1])
    if y < -0.999:
        return compose(turned(_X, math.pi), pose)
    w = math.sqrt(0.5 * (1.0 + y))
    return compose((w, -0.5 * z / w, 0.0, 0.5 * x / w), pose)
