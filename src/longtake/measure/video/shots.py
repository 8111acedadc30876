"""SCuts: how many cuts a video has (StreamingT2V, arXiv 2403.14773). 0 is best for one long take.

Found by PySceneDetect's AdaptiveDetector with all parameters as version 0.6.3 had them, and frames made smaller as it
did: every n-th row and column, n the whole part of width / 256. See `cuts.py` for the definition and its limits.
"""

from __future__ import annotations

import numpy as np

from longtake.measure.cuts import CutFinder
from longtake.measure.video import Finding, Frame

__all__ = ["Shots"]

WIDTH = 256


class Shots:
    """Counts cuts and says where they are."""

    def __init__(self) -> None:
        self._finder = CutFinder()
        self.found: list[int] = []

    def add(self, frame: Frame) -> None:
        """See `Meter.add`."""
        step = max(1, frame.shape[1] // WIDTH)
        self._finder.add(np.ascontiguousarray(frame[::step, ::step]))

    def finish(self) -> Finding:
        """See `Meter.finish`."""
        self.found = self._finder.finish()
        where = ", ".join(str(frame) for frame in self.found)
        return Finding(
            values={"cuts": len(self.found)}, notes={"cuts": f"at frames {where}"} if where else {}
        )
