"""A scene: what there is, where it goes, what happens, and how it is looked at. Drawn from a seed."""

import math
from dataclasses import dataclass, field

import numpy as np

from ..errors import UserError
from . import held_out
from .camera import Camera
from .layout import Layout, sample_camera, sample_layout
from .leg import sample_leg
from .solid import Leg, Solid, Tint
from .vocabulary import COLOURS, GROUNDS, LEVELS, MATERIALS, MOTIONS, SHAPES, SIZES, SPLITS

__all__ = ["Leg", "Scene", "Solid", "Tint", "sample_scene"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Everything about a shot of any length."""

    solids: tuple[Solid, ...]
    """One to three solids of distinct colours."""
    ground: str
    """One of vocabulary.GROUNDS."""
    ground_turn: float = 0.0
    """Radians by which the ground's pattern is turned."""
    ground_shift: tuple[float, float] = (0.0, 0.0)
    """Shift of the ground's pattern in tiles."""
    camera: Camera = field(default_factory=Camera)
    """Where the scene is seen from."""
    light: tuple[float, float, float] = (-0.42, 0.80, 0.43)
    """Unit vector towards the key light."""
    seed: int = 0
    """What the scene was drawn from; also the default wording of its captions."""
    level: int = 1
    """One of vocabulary.LEVELS."""


def _light(rng: np.random.Generator) -> tuple[float, float, float]:
    side = rng.choice((-1.0, 1.0)) * rng.uniform(0.35, 1.15)
    height = rng.uniform(0.80, 1.02)
    return (math.cos(height) * math.sin(side), math.sin(height), math.cos(height) * math.cos(side))


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


def _kinds(rng: np.random.Generator, count: int, split: str) -> list[tuple[str, str, str]]:
    """(shape, colour, motion) of each solid: distinct colours, and combinations that the split allows."""
    while True:
        colours = rng.permutation(len(COLOURS))[:count]
        kinds = [(_pick(rng, SHAPES), COLOURS[c], _pick(rng, MOTIONS)) for c in colours]
        if held_out.allows(kinds, split):
            return kinds


def _solid(rng: np.random.Generator, kind: tuple[str, str, str], layout: Layout, index: int) -> Solid:
    shape, colour, motion = kind
    size = _pick(rng, SIZES)
    radius = layout.radii[SIZES.index(size)] * rng.uniform(0.96, 1.04)
    plot = layout.plots[index]
    leg = sample_leg(rng, motion=motion, shape=shape, radius=radius, home=plot.home, room=plot.room)
    return Solid(
        shape=shape,
        material=_pick(rng, MATERIALS),
        size=size,
        radius=radius,
        home=plot.home,
        room=plot.room,
        tints=(Tint(start=0.0, colour=colour),),
        legs=(leg,),
        side=1.0 if plot.home[0] > 0 else -1.0,
    )


def _camera_move(rng: np.random.Generator, level: int) -> str:
    if level == 3:
        return ("static", "static", "pan", "orbit", "zoom")[int(rng.integers(5))]
    return "pan" if rng.random() < 0.2 else "static"


def _check(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise UserError(f"{name} {value!r} is not known; use one of {', '.join(map(str, known))}")


def sample_scene(seed: int, *, level: int, split: str = "train") -> Scene:
    """Draw a scene. Same seed, level and split: same scene."""
    _check("level", level, LEVELS)
    _check("split", split, SPLITS)
    rng = np.random.Generator(np.random.Philox(key=(seed, level)))
    count = level if level < 3 else int(rng.integers(1, 4))
    kinds = _kinds(rng, count, split)
    layout = sample_layout(rng, count, [motion for _, _, motion in kinds])
    order = rng.permutation(count)
    return Scene(
        solids=tuple(_solid(rng, kind, layout, int(order[i])) for i, kind in enumerate(kinds)),
        ground=_pick(rng, GROUNDS),
        ground_turn=float(rng.choice((0.0, 0.5 * math.pi)) + rng.uniform(-0.2, 0.2)),
        ground_shift=(float(rng.random()), float(rng.random())),
        camera=sample_camera(rng, _camera_move(rng, level), layout.distance),
        light=_light(rng),
        seed=seed,
        level=level,
    )
