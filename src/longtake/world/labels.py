"""What a reader should say of a rendered window: one answer per colour slot, where there is one.

A slot's answer is left open (-1) when the window shows two: while a colour or a motion changes, while a solid
comes or goes, and while another solid hides it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from longtake.world.motion import BLEND, TINT
from longtake.world.scene import Scene
from longtake.world.solid import Solid
from longtake.world.vocabulary import CAMERAS, COLOURS, GROUNDS, MATERIALS, MOTIONS, SHAPES, SIZES

__all__ = ["OPEN", "Labels", "label", "slots"]

OPEN = -1
"""No answer is asked for."""
_SEEN = 16.0 / 96**2
"""Least share of the picture that a solid covers when it counts as seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Answers for one window; indices into the vocabulary, or OPEN. K colours."""

    present: np.ndarray
    """[K] int8: 1 there in nearly every frame, 0 in none, OPEN in between."""
    shape: np.ndarray
    """[K] int8."""
    motion: np.ndarray
    """[K] int8."""
    size: np.ndarray
    """[K] int8."""
    material: np.ndarray
    """[K] int8."""
    ground: int
    """Index into vocabulary.GROUNDS."""
    camera: int
    """Index into vocabulary.CAMERAS."""

    @classmethod
    def stack(cls, labels: list[Labels]) -> dict[str, np.ndarray]:
        """Labels of B windows as arrays [B, ...] by name."""
        return {each.name: np.stack([getattr(one, each.name) for one in labels]) for each in fields(cls)}


def slots(scene: Scene, instances: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Colour index + 1 of each pixel, 0 for none, uint8 like `instances` [T, H, W] (solid index + 1, 0 for
    none)."""
    masks = np.zeros_like(instances)
    for t, seconds in enumerate(times):
        names = np.array(
            [0, *(COLOURS.index(solid.colour(seconds)) + 1 for solid in scene.solids)], dtype=np.uint8
        )
        masks[t] = names[instances[t]]
    return masks


def _one_colour(solid: Solid, start: float, end: float) -> bool:
    return not any(start - TINT < tint.start <= end for tint in solid.tints if tint.start > 0)


def _one_leg(solid: Solid, start: float, end: float) -> bool:
    return not any(start - BLEND < leg.start <= end for leg in solid.legs if leg.start > 0)


def label(scene: Scene, masks: np.ndarray, times: np.ndarray) -> Labels:
    """Labels of the window whose frames were rendered at `times` [T] seconds; `masks` as from `slots`."""
    start, end = float(times[0]), float(times[-1])
    area = np.stack([(masks == k + 1).mean((1, 2)) for k in range(len(COLOURS))])
    seen = (area > _SEEN).mean(1)
    present = np.where(seen > 0.9, 1, np.where(area.max(1) == 0, 0, OPEN)).astype(np.int8)
    answers = {name: np.full(len(COLOURS), OPEN, np.int8) for name in ("shape", "motion", "size", "material")}
    for solid in scene.solids:
        k = COLOURS.index(solid.colour(end))
        if not _one_colour(solid, start, end) or present[k] != 1:
            continue
        answers["shape"][k] = SHAPES.index(solid.shape)
        answers["size"][k] = SIZES.index(solid.size)
        answers["material"][k] = MATERIALS.index(solid.material)
        if _one_leg(solid, start, end):
            answers["motion"][k] = MOTIONS.index(solid.leg(end).motion)
    return Labels(
        present=present,
        ground=GROUNDS.index(scene.ground),
        camera=CAMERAS.index(scene.camera.move),
        **answers,
    )
