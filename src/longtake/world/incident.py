"""Drawing an event for the solids of a scene: which fits, to whom it happens, and what comes of it."""

import numpy as np

from longtake.world import events, held_out
from longtake.world.events import Event
from longtake.world.solid import Solid
from longtake.world.vocabulary import COLOURS, EVENTS, MOTIONS, TRAVELLING

CRAMPED = 0.4
"""Metres of room below which a solid cannot orbit."""


def _fits(solid: Solid, kind: str, several: bool, split: str) -> bool:
    motion = solid.legs[0].motion
    if kind == "stop":
        return motion != "stay" and held_out.may_show((solid.shape, solid.colour(), "stay"), split)
    if kind == "reverse":
        return motion == "orbit" or motion in TRAVELLING
    if kind == "enter" and split == "held_out":
        return several and (solid.shape, solid.colour(), motion) not in held_out.combinations()
    return several or kind not in ("enter", "leave")


def possible(solids: tuple[Solid, ...], split: str) -> tuple[str, ...]:
    """The kinds of event that fit solids to which nothing has happened yet."""
    return tuple(
        kind for kind in EVENTS if any(_fits(solid, kind, len(solids) > 1, split) for solid in solids)
    )


def _other_colour(solid: Solid, solids: tuple[Solid, ...], split: str) -> list[str]:
    taken = {other.colour() for other in solids}
    motion = solid.legs[0].motion
    free = [colour for colour in COLOURS if colour not in taken]
    return [colour for colour in free if held_out.may_show((solid.shape, colour, motion), split)]


def _other_motion(solid: Solid, split: str) -> list[str]:
    unfit = {solid.legs[0].motion} | ({"orbit"} if min(solid.room) < CRAMPED else set())
    free = [motion for motion in MOTIONS if motion not in unfit]
    return [motion for motion in free if held_out.may_show((solid.shape, solid.colour(), motion), split)]


def draw(
    solids: tuple[Solid, ...], kind: str, at: float, rng: np.random.Generator, split: str
) -> tuple[tuple[Solid, ...], Event]:
    """The solids with an event of a kind at a time to one of them, and the event."""
    fit = [i for i, solid in enumerate(solids) if _fits(solid, kind, len(solids) > 1, split)]
    index = fit[int(rng.integers(len(fit)))]
    solid = solids[index]
    if kind == "colour":
        values = _other_colour(solid, solids, split)
        solid = events.change_colour(solid, at, values[int(rng.integers(len(values)))])
    elif kind == "motion":
        values = _other_motion(solid, split)
        solid = events.change_motion(solid, at, values[int(rng.integers(len(values)))], rng)
    else:
        solid = {
            "stop": events.stop,
            "reverse": events.reverse,
            "enter": events.enter,
            "leave": events.leave,
        }[kind](solid, at)
    return (*solids[:index], solid, *solids[index + 1 :]), Event(kind=kind, at=at, solid=index)
