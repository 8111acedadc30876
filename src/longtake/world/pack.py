"""A scene as the arrays that the compiled kernels take."""

import math
from typing import NamedTuple

import numpy as np

from longtake.world import camera, motion, palette
from longtake.world.compiled import leaf
from longtake.world.scene import Scene


class Packed(NamedTuple):
    """One scene, all moments. N solids."""

    camera: np.ndarray
    """[10] float64, see camera.pack."""
    fixed: np.ndarray
    """[N, 6] float64, see motion.pack_fixed."""
    legs: np.ndarray
    """[N, legs, motion.LEG_SIZE] float64."""
    leg_counts: np.ndarray
    """[N] int64."""
    tints: np.ndarray
    """[N, tints, 7] float64."""
    tint_counts: np.ndarray
    """[N] int64."""
    light: np.ndarray
    """[3] float64: unit vector towards the key light."""
    ground: np.ndarray
    """[4] float64: cosine and sine of the tile's turn, and its shift in tiles."""
    tile: np.ndarray
    """[texels, 3] float32, see palette.ground_tile."""


def pack(scene: Scene) -> Packed:
    """The arrays of a scene."""
    legs, leg_counts = motion.pack_legs(scene.solids)
    tints, tint_counts = motion.pack_tints(scene.solids, palette.palette())
    turn = scene.ground_turn
    return Packed(
        camera=camera.pack(scene.camera),
        fixed=motion.pack_fixed(scene.solids),
        legs=legs,
        leg_counts=leg_counts,
        tints=tints,
        tint_counts=tint_counts,
        light=np.array(scene.light, dtype=np.float64),
        ground=np.array([math.cos(turn), math.sin(turn), *scene.ground_shift]),
        tile=palette.ground_tile(scene.ground),
    )


@leaf
def fill_bodies(packed: Packed, seconds: float, bodies: np.ndarray) -> None:
    """Fill packed bodies [N, motion.BODY_SIZE] for a time."""
    motion.embody(
        packed.fixed, packed.legs, packed.leg_counts, packed.tints, packed.tint_counts, seconds, bodies
    )
