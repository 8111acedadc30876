"""A scene: what there is, where it goes, what happens, and how it is looked at. Drawn from a seed."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from longtake.errors import UserError
from longtake.world import held_out, incident
from longtake.world.camera import Camera
from longtake.world.events import Event
from longtake.world.layout import Layout, sample_camera, sample_layout
from longtake.world.leg import sample_leg
from longtake.world.solid import Leg, Solid, Tint
from longtake.world.vocabulary import (
    COLOURS,
    GROUNDS,
    LEVELS,
    MATERIALS,
    MOTIONS,
    SHAPES,
    SIZES,
    SPLITS,
    TRAVELLING,
)

INCIDENTS = 0.35
"""Share of the scenes of level 3 in which something happens."""
LIGHT = (-0.42, 0.80, 0.43)
"""Unit vector towards the key light where nothing else is said."""
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
    light: tuple[float, float, float] = LIGHT
    """Unit vector towards the key light."""
    events: tuple[Event, ...] = ()
    """What happens, in time order; the solids' legs and tints already carry it out."""
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


class _Calm(np.random.Generator):
    """Draws the middle of every range; what is picked from a few choices stays a matter of chance."""

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        super().uniform(low, high, size)  # so that what is drawn after it stays the same
        return 0.5 * (low + high) if size is None else np.full(size, 0.5 * (low + high))


def _stationary(seed: int, level: int, split: str, *, calm: bool) -> Scene:
    """A scene in which nothing happens but motion."""
    rng = (_Calm if calm else np.random.Generator)(np.random.Philox(key=(seed, level)))
    count = level if level < 3 else int(rng.integers(1, 4))
    kinds = _kinds(rng, count, split)
    layout = sample_layout(rng, count, [motion for _, _, motion in kinds])
    order = rng.permutation(count)
    scene = Scene(
        solids=tuple(_solid(rng, kind, layout, int(order[i])) for i, kind in enumerate(kinds)),
        ground=_pick(rng, GROUNDS),
        ground_turn=float(rng.choice((0.0, 0.5 * math.pi)) + rng.uniform(-0.2, 0.2)),
        ground_shift=(float(rng.random()), float(rng.random())),
        camera=sample_camera(rng, _camera_move(rng, level), layout),
        light=_light(rng),
        seed=seed,
        level=level,
    )
    return _settled(scene) if calm else scene


def _settled(scene: Scene) -> Scene:
    """The same scene with one light and one ground, and every solid on the ground in the middle of its path."""
    solids = tuple(
        replace(solid, legs=tuple(_from_the_middle(leg) for leg in solid.legs)) for solid in scene.solids
    )
    return replace(scene, solids=solids, ground_turn=0.0, ground_shift=(0.0, 0.0), light=LIGHT)


def _from_the_middle(leg: Leg) -> Leg:
    return replace(leg, hop_phase=0.0, phase=0.0 if leg.motion in TRAVELLING else leg.phase)


def sample_scene(
    seed: int,
    *,
    level: int,
    split: str = "train",
    event: str | None = None,
    event_at: float = 2.0,
    calm: bool = False,
) -> Scene:
    """Draw a scene; same arguments, same scene.

    `calm` leaves to chance only what words can tell: speeds, light and view are those in the middle of their ranges and
    paths begin in their middle, so that scenes with the same words look much the same.

    `event` "colour" or "motion" lets one solid change at `event_at` seconds; the scene up to then is the one
    without it. At level 3 without `event`, some scenes have an event of some kind in their first seconds.
    """
    _check("level", level, LEVELS)
    _check("split", split, SPLITS)
    _check("event", event, (None, "colour", "motion"))
    if event_at < 0.0:
        raise UserError(f"event_at {event_at} is before the scene begins; use 0 or more seconds")
    scene = _stationary(seed, level, split, calm=calm)
    rng = np.random.Generator(np.random.Philox(key=(seed, level + 16)))
    if event is None and level == 3 and rng.random() < INCIDENTS:
        event, event_at = _pick(rng, incident.possible(scene.solids, split)), round(rng.uniform(1.5, 4.5), 2)
    if event is None:
        return scene
    solids, happened = incident.draw(scene.solids, event, event_at, rng, split)
    return replace(scene, solids=solids, events=(happened,))
