"""Editing the scene graph, for a second rendering that differs in what was edited and in nothing else."""

from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np

from longtake.errors import UserError
from longtake.world.camera import Camera
from longtake.world.layout import GROWTH, MOVES
from longtake.world.leg import sample_leg, spin
from longtake.world.pose import rolling_pose, settled
from longtake.world.scene import Scene
from longtake.world.solid import Leg, Solid
from longtake.world.vocabulary import CAMERAS, COLOURS, GROUNDS, MATERIALS, MOTIONS, SHAPES, SIZES

_KNOWN = {
    "colour": COLOURS,
    "shape": SHAPES,
    "material": MATERIALS,
    "size": SIZES,
    "motion": MOTIONS,
    "ground": GROUNDS,
    "camera": CAMERAS,
}
_OF_SOLIDS = ("colour", "shape", "material", "size", "motion")


class Changes(TypedDict, total=False):
    """What may be edited; each value is one of its tuple in `vocabulary`."""

    colour: str
    """From the start; a later change of colour stays."""
    shape: str
    """Same path, same size."""
    material: str
    """How the surface shines."""
    size: str
    """Same path."""
    motion: str
    """A new path on the solid's own ground, in place of all that it did."""
    ground: str
    """Same pattern's turn and shift."""
    camera: str
    """Another move from the same place."""


def _check(scene: Scene, solid: int, changes: Changes) -> None:
    for name, value in changes.items():
        if name not in _KNOWN:
            raise UserError(f"edit {name!r} is not known; use one of {', '.join(_KNOWN)}")
        if value not in _KNOWN[name]:
            raise UserError(f"{name} {value!r} is not known; use one of {', '.join(_KNOWN[name])}")
    if not 0 <= solid < len(scene.solids):
        raise UserError(f"solid {solid} is not in the scene; use 0 to {len(scene.solids) - 1}")
    others = [tint.colour for i, other in enumerate(scene.solids) if i != solid for tint in other.tints]
    if changes.get("colour") in others:
        raise UserError(f"colour {changes['colour']!r} belongs to another solid; use one that is free")


def _reposed(leg: Leg, shape: str, radius: float) -> Leg:
    """The leg as a solid of another shape or size would go it."""
    if leg.motion == "roll":
        return replace(leg, pose=rolling_pose(shape, leg.heading), spin=spin(shape, radius))
    return replace(leg, pose=settled(shape, leg.pose))


def _reshaped(solid: Solid, shape: str, radius: float) -> Solid:
    return replace(
        solid, shape=shape, radius=radius, legs=tuple(_reposed(leg, shape, radius) for leg in solid.legs)
    )


def _moved(solid: Solid, motion: str, seed: int, index: int) -> Solid:
    rng = np.random.Generator(np.random.Philox(key=(seed, 32 + index)))
    leg = sample_leg(
        rng, motion=motion, shape=solid.shape, radius=solid.radius, home=solid.home, room=solid.room
    )
    return replace(solid, legs=(leg,))


def _edit_solid(solid: Solid, changes: Changes, seed: int, index: int) -> Solid:
    if "colour" in changes:
        first = replace(solid.tints[0], colour=changes["colour"])
        solid = replace(solid, tints=(first, *solid.tints[1:]))
    if "material" in changes:
        solid = replace(solid, material=changes["material"])
    if changes.get("size", solid.size) != solid.size:
        growth = GROWTH if changes["size"] == "large" else 1.0 / GROWTH
        solid = _reshaped(replace(solid, size=changes["size"]), solid.shape, solid.radius * growth)
    if changes.get("shape", solid.shape) != solid.shape:
        solid = _reshaped(solid, changes["shape"], solid.radius)
    return _moved(solid, changes["motion"], seed, index) if "motion" in changes else solid


def _moving(camera: Camera, move: str) -> Camera:
    amplitude, period = MOVES[move]
    return replace(camera, move=move, amplitude=amplitude, period=period)


def edit(scene: Scene, solid: int = 0, **changes: Unpack[Changes]) -> Scene:
    """The scene with one solid, the ground or the camera's move changed, all else as it was.

    `edit(scene, colour="blue")`, `edit(scene, 1, shape="cone", size="small")`, `edit(scene, ground="sand")`.
    """
    _check(scene, solid, changes)
    edited = scene
    if any(name in _OF_SOLIDS for name in changes):
        whole = _edit_solid(scene.solids[solid], changes, scene.seed, solid)
        edited = replace(edited, solids=(*scene.solids[:solid], whole, *scene.solids[solid + 1 :]))
    if "motion" in changes:
        kept = tuple(e for e in scene.events if e.solid != solid or e.kind in ("colour", "enter", "leave"))
        edited = replace(edited, events=kept)
    if "ground" in changes:
        edited = replace(edited, ground=changes["ground"])
    return replace(edited, camera=_moving(scene.camera, changes["camera"])) if "camera" in changes else edited


def remove(scene: Scene, solid: int) -> Scene:
    """The scene without a solid; the others keep their order."""
    _check(scene, solid, {})
    kept = tuple(replace(e, solid=e.solid - (e.solid > solid)) for e in scene.events if e.solid != solid)
    return replace(scene, solids=(*scene.solids[:solid], *scene.solids[solid + 1 :]), events=kept)
