"""The media of a take as it lies on disk; read by anyone, also while the take is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longtake.timeline import Receipt


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A chunk of the recorded video."""

    index: int
    """Number of the chunk in the take, from 0 without gaps."""
    start_frame: int
    """Index of its first frame."""
    frames: int
    """Its frames."""
    size: int
    """Bytes of its segment; 0 where retention has taken it."""
    receipts: tuple[Receipt, ...]
    """Receipts that changed at it."""


class Media:
    """The init segment and the media segments of a take. Together they are an MP4 file, byte for byte `out`."""

    @property
    def init_segment(self) -> bytes:
        """`ftyp moov`, the same for every segment."""
        raise NotImplementedError

    def segments(self) -> Sequence[Segment]:
        """The chunks that are recorded now, oldest first."""
        raise NotImplementedError

    def read(self, index: int) -> bytes:
        """`moof mdat` of chunk `index`. Raises UserError when it is not there (any more), or damaged."""
        raise NotImplementedError
