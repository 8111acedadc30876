"""What of a take is in the journal already, for viewers who come later."""

from __future__ import annotations

from collections.abc import Callable

from longtake.errors import UserError
from longtake.journal import Library
from longtake.studio.messages import chunk_message
from longtake.studio.viewers import Parcel


class Recording:
    """Reads the disk: call it in a thread."""

    def __init__(self, library: Library, take_id: str, fps: int) -> None:
        self._library, self._id, self._fps = library, take_id, fps

    def place(self, seconds: float | None) -> tuple[int, float]:
        """Number and start of the chunk on screen at a media second; of the newest where none is given."""
        with self._library.media(self._id) as media:
            segments = list(media.segments())
        if seconds is not None:
            segments = [one for one in segments if one.start_frame <= seconds * self._fps + 1e-6]
        return (segments[-1].index, segments[-1].start_frame / self._fps) if segments else (0, 0.0)

    def parcel(self, index: int, sign: Callable[[bytes], bytes]) -> Parcel | None:
        """A chunk, signed and announced; None where it is not kept any more."""
        try:
            with self._library.media(self._id) as media:
                segment = next((one for one in media.segments(index) if one.index == index), None)
                if segment is None:
                    return None
                data = sign(media.read(index))
        except UserError:
            return None
        start = segment.start_frame / self._fps
        message = chunk_message(index, start, segment.frames, data)
        return Parcel(message=message, media=data, start=start)
