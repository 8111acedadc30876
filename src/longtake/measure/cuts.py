"""Cuts: PySceneDetect's AdaptiveDetector, fed frame by frame.

A cut is a frame whose change (mean over pixels of the differences in hue, saturation and value) is at least
`threshold` times the mean change of its `window` neighbours on either side, and at least `least`. The
settings are the defaults of PySceneDetect 0.6.3 and are given in full, so that a newer version of the package
counts the same. Unit: cuts in the clip; lower is better for one long take. Limits: fades and dissolves longer
than the window are not found, a cut within `shortest` frames of the last one is not counted, and nor is one
in the first or last `window` frames.
"""

from __future__ import annotations

import numpy as np

from longtake.errors import UserError

__all__ = ["CutFinder", "cuts"]

SETTINGS = {"adaptive_threshold": 3.0, "min_scene_len": 15, "window_width": 2, "min_content_val": 15.0}
DEFINITION = (
    "PySceneDetect AdaptiveDetector (threshold 3.0, window 2, least change 15, shortest scene 15 frames)"
)


class CutFinder:
    """Sees frames one by one."""

    def __init__(self) -> None:
        try:
            from scenedetect.detectors import AdaptiveDetector
            from scenedetect.stats_manager import StatsManager
        except ImportError:
            raise UserError("counting cuts needs scenedetect; pip install 'longtake[measure]'") from None
        self._detector = AdaptiveDetector(**SETTINGS)
        self._detector.stats_manager = StatsManager()
        self._found: list[int] = []
        self._count = 0

    def add(self, frame: np.ndarray) -> None:
        """See the next frame, uint8 [H, W, 3]."""
        self._found += self._detector.process_frame(self._count, np.ascontiguousarray(frame[..., ::-1]))
        self._count += 1

    def finish(self) -> list[int]:
        """First frame after each cut."""
        return [int(cut) for cut in [*self._found, *self._detector.post_process(self._count)]]


def cuts(frames: np.ndarray) -> list[int]:
    """First frame after each cut; `frames` uint8 [T, H, W, 3]."""
    finder = CutFinder()
    for frame in frames:
        finder.add(frame)
    return finder.finish()
