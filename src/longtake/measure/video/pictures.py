"""Pictures of a whole video: a contact sheet and an X–T slice, in bounded memory whatever the length.

The X–T slice is one row of pixels, at half the height, over time (StreamingT2V's own figure): cuts are edges from side
to side, stillness is straight stripes, jumps at joins are kinks.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from longtake.measure.video import Finding, Frame

__all__ = ["Pictures"]

THUMB_WIDTH = 160
MOST_THUMBS = 12
MOST_COLUMNS = 960


class Pictures:
    """Keeps every n-th frame and row; n doubles when there are too many."""

    def __init__(self) -> None:
        self._thumbs = _Thinned(2 * MOST_THUMBS)
        self._rows = _Thinned(2 * MOST_COLUMNS)
        self.frames: list[int] = []
        """Indices of the frames on the sheet, after `finish`."""

    def add(self, frame: Frame) -> None:
        """See `Meter.add`."""
        height, width = frame.shape[:2]
        if self._thumbs.wants():
            size = (THUMB_WIDTH, max(1, round(height * THUMB_WIDTH / width)))
            self._thumbs.keep(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        if self._rows.wants():
            self._rows.keep(frame[height // 2].copy())
        self._thumbs.count += 1
        self._rows.count += 1

    def finish(self) -> Finding:
        """See `Meter.finish`. Pictures have no figures."""
        return Finding()

    def sheet(self) -> NDArray[np.uint8]:
        """Up to `MOST_THUMBS` frames side by side, first to last."""
        kept = self._thumbs.kept
        chosen = np.unique(np.linspace(0, len(kept) - 1, min(MOST_THUMBS, len(kept))).round().astype(int))
        self.frames = [int(index) * self._thumbs.step for index in chosen]
        return np.concatenate([kept[index] for index in chosen], axis=1)

    def slice(self) -> NDArray[np.uint8]:
        """Time from left to right, the middle row of the picture from top to bottom."""
        return np.ascontiguousarray(np.stack(self._rows.kept, axis=1))


class _Thinned:
    """The 0th, n-th, 2n-th, … of a stream, never more than `most` of them."""

    def __init__(self, most: int) -> None:
        self.most, self.step, self.count = most, 1, 0
        self.kept: list[NDArray[np.uint8]] = []

    def wants(self) -> bool:
        return self.count % self.step == 0

    def keep(self, item: NDArray[np.uint8]) -> None:
        if len(self.kept) == self.most:
            self.kept = self.kept[::2]
            self.step *= 2
            if self.count % self.step:
                return
        self.kept.append(item)
