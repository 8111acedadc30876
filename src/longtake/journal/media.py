"""The media of a take as it lies on disk; read by anyone, also while the take is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from longtake.director import receipt_from_dict
from longtake.errors import UserError
from longtake.journal.facts import Facts
from longtake.journal.files import segment_file
from longtake.journal.rows import ChunkRow, digest
from longtake.journal.store import Store
from longtake.media import VideoFormat
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
    """Bytes of its segment."""
    kept: bool
    """Whether it is there; retention takes the oldest."""
    receipts: tuple[Receipt, ...]
    """Receipts that changed at it."""


class Media:
    """The init segment and the media segments of a take. Together they are an MP4 file, byte for byte `out`.

    Every call reads the record as it is now; a rewind drops segments, and others take their numbers.
    """

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder)
        self.init_segment: bytes = self._store.init_segment
        """`ftyp moov`, the same for every segment."""

    @property
    def form(self) -> VideoFormat:
        """Size and rate of the video."""
        return Facts.from_dict(self._store.facts).video

    @property
    def course(self) -> int:
        """How often chunks were dropped until now; others may have their numbers since."""
        return self._store.course()

    def segments(self, first: int = 0) -> Sequence[Segment]:
        """The chunks that are recorded now, from number `first` on, oldest first."""
        return [_segment(row) for row in self._store.chunks(first)]

    def read(self, index: int) -> bytes:
        """`moof mdat` of chunk `index`. Raises UserError when it is not there (any more), or damaged."""
        row, id = self._store.chunk(index), self._store.folder.name
        if row is None:
            raise UserError(f"take {id} has no chunk {index}; give one that is recorded")
        if row.expired:
            raise UserError(f"chunk {index} of take {id} went to make room; only later ones are kept")
        try:
            data = segment_file(self._store.folder, row.id).read_bytes()
        except OSError as reason:
            raise UserError(
                f"chunk {index} of take {id} cannot be read: {reason.strerror}; resume it"
            ) from None
        if digest(data) != row.segment_digest:
            raise UserError(
                f"chunk {index} of take {id} is damaged on disk; resume the take to make it again"
            )
        return data

    def close(self) -> None:
        """Let the record go."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _segment(row: ChunkRow) -> Segment:
    return Segment(
        index=row.number,
        start_frame=row.start_frame,
        frames=row.frames,
        size=row.segment_size,
        kept=not row.expired,
        receipts=tuple(receipt_from_dict(values) for values in json.loads(row.receipts)),
    )
