"""The scene graph at a moment: what each solid is and does, in words and metres."""

from dataclasses import dataclass

from longtake.world.leg import direction_of, heading_at
from longtake.world.motion import middle
from longtake.world.scene import Scene
from longtake.world.solid import Solid
from longtake.world.vocabulary import TRAVELLING


@dataclass(frozen=True, kw_only=True, slots=True)
class SolidState:
    """One solid at a moment."""

    index: int
    """Which of the scene's solids; its instance number in masks is one more."""
    shape: str
    """One of vocabulary.SHAPES."""
    colour: str
    """One of vocabulary.COLOURS."""
    material: str
    """One of vocabulary.MATERIALS."""
    size: str
    """One of vocabulary.SIZES."""
    motion: str
    """One of vocabulary.MOTIONS."""
    direction: str | None
    """Where it goes just now: one of vocabulary.DIRECTIONS for motions that travel, otherwise None."""
    set_out: str | None
    """The direction in which its motion began; until its path turns the same as `direction`."""
    position: tuple[float, float, float]
    """The solid's middle in metres."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneState:
    """A scene at a moment."""

    solids: tuple[SolidState, ...]
    """Those that belong to the scene at the moment."""
    ground: str
    """One of vocabulary.GROUNDS."""
    camera: str
    """One of vocabulary.CAMERAS."""


def solid_state(solid: Solid, index: int, seconds: float) -> SolidState:
    """What a solid is and does at a time."""
    leg = solid.leg(seconds)
    return SolidState(
        index=index,
        shape=solid.shape,
        colour=solid.colour(seconds),
        material=solid.material,
        size=solid.size,
        motion=leg.motion,
        direction=direction_of(heading_at(leg, seconds)) if leg.motion in TRAVELLING else None,
        set_out=direction_of(leg.heading) if leg.motion in TRAVELLING else None,
        position=middle(solid, max(seconds, 0.0)),
    )


def state(scene: Scene, seconds: float = 0.0) -> SceneState:
    """The scene graph in force at a time."""
    present = [(i, solid) for i, solid in enumerate(scene.solids) if solid.present(seconds)]
    return SceneState(
        solids=tuple(solid_state(solid, i, seconds) for i, solid in present),
        ground=scene.ground,
        camera=scene.camera.move,
    )
