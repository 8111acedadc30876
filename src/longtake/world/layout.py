"""Where solids may be so that they neither meet nor hide each other for long: each has some ground to itself."""

from dataclasses import dataclass

import numpy as np

from .camera import Camera


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


def _plots(*rows: tuple[float, float, float, float]) -> tuple[Plot, ...]:
    return tuple(Plot(home=(x, z), room=(room_x, room_z)) for x, z, room_x, room_z in rows)


ALONE = Layout(plots=_plots((0.0, 0.0, 1.35, 1.15)), radii=(0.62, 0.92), distance=6.5)
SIDE_BY_SIDE = Layout(
    plots=_plots((-1.28, 0.0, 0.66, 1.05), (1.28, 0.0, 0.66, 1.05)), radii=(0.52, 0.78), distance=7.6
)
BEHIND = Layout(plots=_plots((0.0, -1.3, 1.75, 0.0), (0.0, 1.2, 1.5, 0.0)), radii=(0.50, 0.72), distance=7.6)
TRIANGLE = Layout(
    plots=_plots((-1.55, -0.85, 0.62, 0.62), (1.55, -0.85, 0.62, 0.62), (0.0, 1.25, 0.75, 0.35)),
    radii=(0.46, 0.66),
    distance=8.2,
)
ABREAST = Layout(
    plots=_plots((-2.0, 0.0, 0.45, 0.9), (0.0, 0.0, 0.45, 0.9), (2.0, 0.0, 0.45, 0.9)),
    radii=(0.44, 0.62),
    distance=8.6,
)


def sample_layout(rng: np.random.Generator, count: int, motions: list[str]) -> Layout:
    """A layout for so many solids in which each motion has room."""
    if count == 1:
        return ALONE
    if count == 3:
        return TRIANGLE if rng.random() < 0.6 else ABREAST
    return SIDE_BY_SIDE if "orbit" in motions or rng.random() < 0.5 else BEHIND


def sample_camera(rng: np.random.Generator, move: str, distance: float) -> Camera:
    """A camera that looks down at the middle of the ground."""
    amplitude = {"static": 0.0, "pan": 0.085, "orbit": 0.40, "zoom": 0.16}[move]
    period = {"static": 8.0, "pan": 6.5, "orbit": 9.0, "zoom": 6.5}[move]
    return Camera(
        move=move,
        target=(0.0, 0.58, 0.0),
        distance=distance * rng.uniform(0.97, 1.05),
        pitch=rng.uniform(0.40, 0.52),
        yaw=rng.uniform(-0.14, 0.14),
        amplitude=amplitude * rng.uniform(0.85, 1.15),
        period=period * rng.uniform(0.85, 1.2),
        phase=rng.uniform(0.0, 2.0 * np.pi),
    )
