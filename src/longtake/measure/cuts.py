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

__all__ = ["cuts"]

SETTINGS = {"adaptive_threshold": 3.0, "min_scene_len": 15, "window_width": 2, "min_content_val": 15.0}
DEFINITION = (
    "PySceneDetect AdaptiveDetector (threshold 3.0, window 2, least change 15, shortest scene 15 frames)"
)


def cuts(frames: np.ndarray) -> list[int]:
    """First frame after each cut; `frames` uint8 [T, H, W, 3]."""
    try:
        from scenedetect.detectors import AdaptiveDetector
        from scenedetect.stats_manager import StatsManager
    except ImportError:
        raise UserError("counting cuts needs scenedetect; pip install 'longtake[measure]'") from None
    detector = AdaptiveDetector(**SETTINGS)
    detector.stats_manager = StatsManager()
    found: list[int] = []
    for number, frame in enumerate(frames):
        found += detector.process_frame(number, np.ascontiguousarray(frame[..., ::-1]))
    return [int(cut) for cut in [*found, *detector.post_process(len(frames))]]
