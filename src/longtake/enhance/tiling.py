"""Which frames a window has: windows of one length, each sharing its first frames with the end of the one before."""

from __future__ import annotations

from dataclasses import dataclass

from longtake.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiling:
    """Windows over latent frames. The last is slid back so that it ends with the video; no frame is dropped."""

    length: int
    """Latent frames of a window."""
    overlap: int
    """Latent frames that two windows in a row are joined over."""

    def __post_init__(self) -> None:
        if self.overlap < 0 or self.length < 1:
            raise UserError(
                f"window {self.length} with overlap {self.overlap}: give a window from 1, an overlap from 0"
            )
        if self.length <= self.overlap:
            raise UserError(
                f"window {self.length} is not longer than its overlap {self.overlap}; "
                f"use an overlap of {self.length // 2} or less, or a longer window"
            )
        if 2 * self.overlap > self.length:
            raise UserError(
                f"overlap {self.overlap} is more than half of window {self.length}, so that a frame would be in three "
                f"windows; use an overlap of {self.length // 2} or less"
            )

    @property
    def stride(self) -> int:
        """New frames of every window after the first."""
        return self.length - self.overlap

    def regular(self, index: int) -> range:
        """The frames of window `index` where the video goes on long enough."""
        start = index * self.stride
        return range(start, start + self.length)

    def last(self, total: int) -> range:
        """The window that ends with a video of `total` frames. Raises UserError when the video is shorter."""
        if total < self.length:
            raise UserError(
                f"the video has {total} latent frames and a window {self.length}; "
                "give a longer video, or a shorter window"
            )
        return range(total - self.length, total)

    def over(self, total: int) -> list[range]:
        """All windows of a video of `total` frames. Raises UserError when it is shorter than one."""
        windows = [self.last(total)]
        count = 1 + (total - self.length) // self.stride
        regular = [self.regular(index) for index in range(count)]
        return regular if regular[-1] == windows[0] else regular + windows

    def join(self, left: range) -> range:
        """The frames over which window `left` is joined with the one after it, slid or not: its last ones."""
        return left[len(left) - self.overlap :]
