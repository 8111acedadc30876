"""What of a take is in the journal already, for viewers who come later."""

from __future__ import annotations

from collections.abc import Sequence

from longtake.errors import UserError
from longtake.journal import Library, Segment
from longtake.studio.screening import chunk_message
from longtake.studio.viewers import Parcel


class Recording:
    """Reads the disk: call it in a thread."""

    def __init__(self, library: Library, take_id: str, fps: int) -> None:
        self._media, self._fps = library.media(take_id), fps

    def segments(self) -> Sequence[Segment]:
        """The chunks that are recorded now."""
        return self._media.segments()

    def place(self, seconds: float | None) -> tuple[int, float]:
        """Number and start of the chunk on screen at a media second; of the newest where none is given."""
        segments = self.segments()
        if seconds is not None:
            segments = [one for one in segments if one.start_frame <= seconds * self._fps + 1e-6]
        return (segments[-1].index, segments[-1].start_frame / self._fps) if segments else (0, 0.0)

    def parcel(self, index: int) -> Parcel | None:
        """A chunk, announced; None where it is not kept any more."""
        segments = self.segments()
        if index >= len(segments) or not segments[index].size:
            return None
        try:
            data = self._media.read(index)
        except UserError:
            return None
        start = segments[index].start_frame / self._fps
        message = chunk_message(index, start, segments[index].frames, data)
        return Parcel(message=message, media=data, start=start)
