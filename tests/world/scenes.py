"""Scenes made to measure for tests."""

from __future__ import annotations

import numpy as np

from longtake.world.layout import ALONE, BEHIND, Layout
from longtake.world.leg import sample_leg
from longtake.world.scene import Scene
from longtake.world.solid import Solid, Tint


def solid(
    shape: str = "sphere",
    colour: str = "red",
    motion: str = "roll",
    *,
    plot: int = 0,
    layout: Layout = ALONE,
    seed: int = 0,
    material: str = "matte",
) -> Solid:
    """A small solid on a plot of a layout."""
    ground, radius = layout.plots[plot], layout.radii[0]
    leg = sample_leg(
        np.random.Generator(np.random.Philox(seed)),
        motion=motion,
        shape=shape,
        radius=radius,
        home=ground.home,
        room=ground.room,
    )
    return Solid(
        shape=shape,
        material=material,
        size="small",
        radius=radius,
        home=ground.home,
        room=ground.room,
        tints=(Tint(start=0.0, colour=colour),),
        legs=(leg,),
    )


def alone(shape: str = "sphere", colour: str = "red", motion: str = "roll", **options: object) -> Scene:
    """A scene of one solid."""
    return Scene(solids=(solid(shape, colour, motion, **options),), ground="wooden")


def passing(seed: int = 0) -> Scene:
    """A red sphere that rolls past a blue cube."""
    goer = solid("sphere", "red", "roll", plot=1, layout=BEHIND, seed=seed)
    stayer = solid("cube", "blue", "stay", plot=0, layout=BEHIND)
    return Scene(solids=(goer, stayer), ground="wooden", level=2)
