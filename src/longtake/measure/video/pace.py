"""Stillness, flicker and seams: what is wrong in the step from one frame to the next.

The change of a pair is the mean over pixels and channels of |next − frame|, in levels (0–255).

`still_share`: share of pairs whose change is below 0.5 levels (which encoding noise alone seldom reaches), and
`still_longest_s` the longest run of them in seconds. 0 is best for a video that ought to move.

`flicker`: mean over time of |m(t+1) − 2·m(t) + m(t−1)| for the mean luminance m of a frame, in levels; steady fades and
movement cancel, lights that go on and off do not. Lower is better.

`join_ratio`: median change of the pairs that lie across a join of two chunks over the median change of all other pairs.
1 is seamless, above 1 the joins can be seen. Joins are given, or taken from the file (see `source.py`). `join_excess`
is the same as a difference, in levels, for videos that stand still in between.

Limits: a cut counts as a join error when it falls on one; repeated frames of a converted frame rate count as still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import cv2
import numpy as np

from longtake.measure.video import Curve, Finding, Frame

__all__ = ["Pace"]

STILL = 0.5
"""Levels of mean change below which a pair counts as still."""


class Pace:
    """Figures of the changes between neighbouring frames."""

    def __init__(self, fps: float, joins: Callable[[], Sequence[int]] = tuple) -> None:
        """`joins`: asked at the end for the first frame of every chunk but the first."""
        self._fps, self._joins = fps, joins
        self._last: Frame | None = None
        self._changes: list[float] = []
        self._levels: list[float] = []

    def add(self, frame: Frame) -> None:
        """See `Meter.add`."""
        self._levels.append(float(cv2.mean(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))[0]))
        if self._last is not None:
            self._changes.append(float(np.mean(cv2.mean(cv2.absdiff(frame, self._last))[:3])))
        self._last = frame.copy()

    def finish(self) -> Finding:
        """See `Meter.finish`."""
        changes = np.array(self._changes)
        if not len(changes):
            names = ("still_share", "still_longest_s", "flicker", "join_ratio", "join_excess")
            return Finding(
                values=dict.fromkeys(names), notes=dict.fromkeys(names, "needs at least two frames")
            )
        values: dict[str, float | None] = {
            "still_share": float((changes < STILL).mean()),
            "still_longest_s": _longest(changes < STILL) / self._fps,
        }
        notes = {}
        if len(self._levels) > 2:
            values["flicker"] = float(np.abs(np.diff(self._levels, 2)).mean())
        else:
            values["flicker"], notes["flicker"] = None, "needs at least three frames"
        ratio, excess, why = self._seams(changes)
        values |= {"join_ratio": ratio, "join_excess": excess}
        notes |= dict.fromkeys([name for name in ("join_ratio", "join_excess") if values[name] is None], why)
        seconds = tuple((index + 1) / self._fps for index in range(len(changes)))
        return Finding(
            values=values,
            curves={"change": Curve(seconds=seconds, values=tuple(self._changes), unit="levels")},
            notes=notes,
        )

    def _seams(self, changes: np.ndarray) -> tuple[float | None, float | None, str]:
        joins = frozenset(self._joins())
        at_join = np.array([index + 1 in joins for index in range(len(changes))])
        if not at_join.any() or at_join.all():
            return None, None, "the joins of chunks are not known, or there are none"
        across, inside = float(np.median(changes[at_join])), float(np.median(changes[~at_join]))
        if inside == 0:
            return None, across, "nothing changes between the joins"
        return across / inside, across - inside, ""


def _longest(still: np.ndarray) -> int:
    """Pairs in the longest run of True."""
    return max((len(list(run)) for value, run in groupby(still.tolist()) if value), default=0)
