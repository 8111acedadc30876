"""Motion-aware warp error (StreamingT2V, arXiv 2403.14773): how badly frames fit what the motion predicts, over how
much motion there is. Lower is better; a video that hardly moves scores badly on purpose.

All frames, stride 1, resized to 720 × 720 bilinearly without regard to aspect, values 0–255. Flow goes from each frame
to the next (backend: see `flow.py`; the published figures used RAFT). Two forms, for the released script and the text
differ:

`mawe_reference`, the script's: each pixel of a frame is moved to its rounded target in the next (halves to even, the
last writer wins, targets outside the picture are dropped, pixels that nothing lands on are left out); error = mean
squared difference over those pixels and the three channels; motion = mean length of the flow. The figure is the mean
over pairs of error / (9.5 · motion), so nearly still pairs dominate. One pair without any motion makes it infinite: it
is given as None and called static.

`mawe_paper`, the text's: mean warp error / mean over all pixels and pairs of the *squared* length of the flow. Warp
error here (Lai et al., arXiv 1808.00449): squared distance of the RGB values of a pixel and of where the flow finds it
in the next frame, bilinearly, mean over pixels that are not occluded. A pixel is occluded when the flow back from its
target misses it by more than 0.01·(|w|² + |w'|²) + 0.5 (Ruder et al., arXiv 1604.08610), or leaves the picture.

Beside them: `warp_error` and `flow_square` are the parts of the paper's form, `flow_mean` is the mean length in pixels
at the video's own size, `flow_deviation` the standard deviation over time of the mean length at 720 × 720 (lower is
smoother). The ablation of blending measures the same by another flow at the video's own size, and calls it motion
deviation: see `joins.py`. Limits: flow is estimated, so textureless or very fast content misleads it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from longtake.measure.video import Curve, Finding, Frame
from longtake.measure.video.flow import FlowBackend
from longtake.measure.video.warp import paper_warp_error, reference_warp_error

__all__ = ["FROM_FLOW", "Mawe"]

FROM_FLOW = ("mawe_reference", "mawe_paper", "warp_error", "flow_square", "flow_mean", "flow_deviation")
"""Figures that need optical flow."""
SIDE = 720
COEFFICIENT = 9.5
"""Scale in the released script."""


class Mawe:
    """Both forms of MAWE with their parts."""

    def __init__(self, flow: FlowBackend, fps: float) -> None:
        self._flow, self._fps = flow, fps
        self._last: Frame | None = None
        self._scale: NDArray[np.float32] | None = None
        self._pairs: list[tuple[float, float, float, float, float | None]] = []

    def add(self, frame: Frame) -> None:
        """See `Meter.add`."""
        height, width = frame.shape[:2]
        self._scale = np.array([width / SIDE, height / SIDE], np.float32)
        square = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        if self._last is not None:
            self._pairs.append(self._compare(self._last, square))
        self._last = square

    def _compare(self, first: Frame, second: Frame) -> tuple[float, float, float, float, float | None]:
        """Motion, squared motion, motion at the video's own size, both warp errors."""
        assert self._scale is not None
        there, back = self._flow(first, second), self._flow(second, first)
        square = np.square(there).sum(-1)
        return (
            float(np.sqrt(square).mean(dtype=np.float64)),
            float(square.mean(dtype=np.float64)),
            float(np.sqrt(np.square(there * self._scale).sum(-1)).mean(dtype=np.float64)),
            reference_warp_error(first, second, there),
            paper_warp_error(first, second, there, back),
        )

    def finish(self) -> Finding:
        """See `Meter.finish`. Nothing ends with it: more frames may follow."""
        if not self._pairs:
            return Finding(
                values=dict.fromkeys(FROM_FLOW), notes=dict.fromkeys(FROM_FLOW, "needs at least two frames")
            )
        motion, square, own, moved, found = (list(column) for column in zip(*self._pairs, strict=True))
        warp = [value for value in found if value is not None]
        values: dict[str, float | None] = {
            "mawe_reference": _mean_ratio(moved, motion),
            "mawe_paper": _ratio(warp, square),
            "warp_error": float(np.mean(warp)) if warp else None,
            "flow_square": float(np.mean(square)),
            "flow_mean": float(np.mean(own)),
            "flow_deviation": float(np.std(motion)),
        }
        seconds = tuple((index + 1) / self._fps for index in range(len(own)))
        curves = {
            "flow_mean": Curve(seconds=seconds, values=tuple(own), unit="px"),
            "warp_error": Curve(seconds=seconds, values=tuple(found), unit="levels²"),
        }
        return Finding(values=values, curves=curves, notes=_notes(values))


def _mean_ratio(errors: list[float], motions: list[float]) -> float | None:
    if min(motions) == 0.0:
        return None
    return float(
        np.mean([error / (COEFFICIENT * motion) for error, motion in zip(errors, motions, strict=True)])
    )


def _ratio(warp: list[float], square: list[float]) -> float | None:
    return float(np.mean(warp) / np.mean(square)) if warp and np.mean(square) > 0 else None


def _notes(values: dict[str, float | None]) -> dict[str, str]:
    notes = {}
    if values["mawe_reference"] is None:
        notes["mawe_reference"] = (
            "static: at least one pair of frames has no motion at all, which makes it infinite"
        )
    if values["warp_error"] is None:
        notes["warp_error"] = "the flow and its way back agree nowhere: everything counts as occluded"
        notes["mawe_paper"] = notes["warp_error"]
    elif values["mawe_paper"] is None:
        notes["mawe_paper"] = "static: there is no motion at all, which makes it infinite"
    return notes
