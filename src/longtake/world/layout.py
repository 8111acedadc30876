"""Where solids may be so that they neither meet nor hide each other for long: each has ground to itself."""

from dataclasses import dataclass

import numpy as np

from longtake.world.camera import Camera
from longtake.world.vocabulary import TRAVELLING


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Ground for one solid's middle, in metres."""

    home: tuple[float, float]
    """Middle (x, z)."""
    room: tuple[float, float]
    """Half extents (x, z)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a scene of so many solids is laid out."""

    plots: tuple[Plot, ...]
    """One for each solid."""
    radii: tuple[float, float]
    """Half extents of small and of large solids."""
    distance: float
    """Of the camera, in metres."""
    pitch: tuple[float, float] = (0.40, 0.52)
    """Range of angles by which the camera looks down, in radians."""
    steady: bool = False
    """Whether it fills the picture's width, so that the camera neither pans nor zooms."""


def _plots(*rows: tuple[float, float, float, float]) -> tuple[Plot, ...]:
    return tuple(Plot(home=(x, z), room=(room_x, room_z)) for x, z, room_x, room_z in rows)


ALONE = Layout(plots=_plots((0.0, 0.0, 1.3, 1.1)), radii=(0.66, 0.94), distance=6.5)
SIDE_BY_SIDE = Layout(
    plots=_plots((-1.22, 0.0, 0.62, 1.0), (1.22, 0.0, 0.62, 1.0)), radii=(0.56, 0.80), distance=7.0
)
BEHIND = Layout(
    plots=_plots((0.0, -1.55, 1.7, 0.0), (0.0, 1.25, 1.3, 0.0)),
    radii=(0.54, 0.76),
    distance=7.1,
    pitch=(0.50, 0.60),
)
TRIANGLE = Layout(
    plots=_plots((-1.55, -0.85, 0.62, 0.62), (1.55, -0.85, 0.62, 0.62), (0.0, 1.25, 0.75, 0.35)),
    radii=(0.48, 0.68),
    distance=7.7,
    pitch=(0.46, 0.58),
)
ABREAST = Layout(
    plots=_plots((-2.0, 0.0, 0.45, 0.9), (0.0, 0.0, 0.45, 0.9), (2.0, 0.0, 0.45, 0.9)),
    radii=(0.46, 0.64),
    distance=7.9,
    steady=True,
)


MOVES = {"static": (0.0, 8.0), "pan": (0.078, 6.5), "orbit": (0.40, 9.0), "zoom": (0.16, 6.5)}
"""Middling amplitude and period (seconds) of each camera move."""
GROWTH = 1.42
"""How much larger large solids are than small ones, about."""


def sample_layout(rng: np.random.Generator, count: int, motions: list[str]) -> Layout:
    """A layout for so many solids in which each motion has room."""
    if count == 1:
        return ALONE
    if count == 3:
        return TRIANGLE if rng.random() < 0.6 else ABREAST
    passing = any(motion in TRAVELLING for motion in motions) and "orbit" not in motions
    return BEHIND if passing and rng.random() < 0.5 else SIDE_BY_SIDE


def sample_camera(rng: np.random.Generator, move: str, layout: Layout) -> Camera:
    """A camera that looks down at the middle of the ground."""
    move = "static" if layout.steady and move in ("pan", "zoom") else move
    amplitude, period = MOVES[move]
    return Camera(
        move=move,
        target=(0.0, 0.58, 0.0),
        distance=layout.distance * rng.uniform(0.97, 1.05),
        pitch=rng.uniform(*layout.pitch),
        yaw=rng.uniform(-0.14, 0.14),
        amplitude=amplitude * rng.uniform(0.85, 1.15),
        period=period * rng.uniform(0.85, 1.2),
        phase=rng.uniform(0.0, 2.0 * np.pi),
    )
