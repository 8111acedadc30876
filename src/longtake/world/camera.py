"""The camera of a scene: where it stands, and its slow, bounded, endless moves."""

import math
from dataclasses import dataclass

import numpy as np

from longtake.world.compiled import leaf
from longtake.world.vocabulary import CAMERAS

FOCAL = 2.75
"""Distance over half the shorter side of the picture: a field of view of 40 degrees."""
TURN = 0.97
"""How sharply a path turns at its bounds: towards 1 the wave becomes a triangle."""
VIEW_SIZE = 13
"""A packed view: eye 0-2, right 3-5, up 6-8, forward 9-11, focal length in half shorter sides 12."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """A camera that looks at a point from a distance. Metres, seconds, radians."""

    move: str = "static"
    """One of vocabulary.CAMERAS."""
    target: tuple[float, float, float] = (0.0, 0.6, 0.0)
    """The point looked at."""
    distance: float = 6.5
    """From the eye to the target."""
    pitch: float = 0.45
    """How far the camera looks down."""
    yaw: float = 0.0
    """How far the eye stands to the right of the target's front."""
    amplitude: float = 0.0
    """Bound of the move: radians of pan and orbit; a share of the focal length for zoom."""
    period: float = 8.0
    """Seconds of a move there and back."""
    phase: float = 0.0
    """Radians of the period that have passed at second 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The camera at one moment: x_picture = width/2 + pixels * (p - eye)·right / (p - eye)·forward."""

    eye: tuple[float, ...]
    """Position in metres."""
    right: tuple[float, ...]
    """Unit vector to the right in the picture."""
    up: tuple[float, ...]
    """Unit vector upwards in the picture; y_picture grows downwards."""
    forward: tuple[float, ...]
    """Unit vector of the viewing direction."""
    pixels: float
    """Focal length in pixels."""


@leaf
def wave(angle: float) -> float:
    """A triangle wave of period 2 pi and height 1 with rounded turns; rises through 0 at angle 0."""
    return math.asin(TURN * math.sin(angle)) / math.asin(TURN)


@leaf
def place(camera: np.ndarray, seconds: float, view: np.ndarray) -> None:
    """Fill a packed view for a time; the camera as from `pack`."""
    move, distance, pitch, yaw = camera[0], camera[4], camera[5], camera[6]
    swing = camera[7] * wave(camera[9] + 2.0 * math.pi * seconds / camera[8])
    turn = yaw + (swing if move == 2 else 0.0)
    cos_pitch, sin_pitch = math.cos(pitch), math.sin(pitch)
    view[0] = camera[1] + distance * cos_pitch * math.sin(turn)
    view[1] = camera[2] + distance * sin_pitch
    view[2] = camera[3] + distance * cos_pitch * math.cos(turn)
    look = turn - (swing if move == 1 else 0.0)
    sine, cosine = math.sin(look), math.cos(look)
    view[3], view[4], view[5] = cosine, 0.0, -sine
    view[6], view[7], view[8] = -sin_pitch * sine, cos_pitch, -sin_pitch * cosine
    view[9], view[10], view[11] = -cos_pitch * sine, -sin_pitch, -cos_pitch * cosine
    view[12] = FOCAL * (1.0 + (swing if move == 3 else 0.0))


def pack(camera: Camera) -> np.ndarray:
    """Move, target, distance, pitch, yaw, amplitude, period, phase; [10] float64."""
    return np.array(
        [
            CAMERAS.index(camera.move),
            *camera.target,
            camera.distance,
            camera.pitch,
            camera.yaw,
            camera.amplitude,
            camera.period,
            camera.phase,
        ],
        dtype=np.float64,
    )


def unpack(view: np.ndarray, size: tuple[int, int]) -> View:
    """A packed view as words, for pictures of (height, width)."""
    row = [float(value) for value in view]
    return View(
        eye=tuple(row[0:3]),
        right=tuple(row[3:6]),
        up=tuple(row[6:9]),
        forward=tuple(row[9:12]),
        pixels=row[12] * 0.5 * min(size),
    )


def view_at(camera: Camera, seconds: float, size: tuple[int, int]) -> View:
    """The camera at a time, for pictures of (height, width)."""
    view = np.zeros(VIEW_SIZE)
    place(pack(camera), seconds, view)
    return unpack(view, size)
