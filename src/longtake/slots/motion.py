"""Less noise where the source moves: the motion-aware noise controller of StreamDiffusionV2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FULL_MOTION = 0.2
"""Root mean square difference of two frames, in −1…1, that counts as full motion."""
REACH = 0.1
"""How far full motion lowers the strength."""
INERTIA = 0.1
"""Share of the strength before that is kept."""


@dataclass(kw_only=True, slots=True)
class NoiseController:
    """`strength ← 0.9·(initial − 0.1·motion) + 0.1·strength`."""

    initial: float
    """Strength for a source at rest."""
    strength: float
    """Strength in force."""

    @classmethod
    def start(cls, initial: float) -> NoiseController:
        """At rest."""
        return cls(initial=initial, strength=initial)

    def look(self, frames: NDArray[np.uint8]) -> float:
        """The strength for the consecutive frames `uint8 [T, H, W, 3]`, the one before them included."""
        target = self.initial - REACH * motion(frames)
        self.strength = (1 - INERTIA) * target + INERTIA * self.strength
        return self.strength


def motion(frames: NDArray[np.uint8]) -> float:
    """0 (rest) to 1: the largest difference of two consecutive frames."""
    if len(frames) < 2:
        return 0.0
    steps = np.diff(frames.astype(np.float32) / 127.5, axis=0)
    largest = float(np.sqrt((steps**2).mean(axis=(1, 2, 3))).max())
    return min(1.0, largest / FULL_MOTION)
