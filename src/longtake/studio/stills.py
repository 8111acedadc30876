"""Single pictures of a take, as JPEG. Only media that this package wrote is decoded here."""

from __future__ import annotations

import io

import av
from PIL import Image

from longtake.errors import UserError
from longtake.journal import Library
from longtake.studio.errors import Reason, Refused

QUALITY = 85


def still(library: Library, take_id: str, fps: int, at: float | None) -> bytes:
    """The picture on screen at a media second; the middle of the take unless given. Raises Refused (404, 410)."""
    with library.media(take_id) as media:
        segments = media.segments()
        if not segments:
            raise Refused(Reason.NOT_FOUND, "the take has no picture yet")
        last = segments[-1]
        end = last.start_frame + last.frames
        frame = min(end // 2 if at is None else int(at * fps + 1e-6), end - 1)
        segment = next(one for one in reversed(segments) if one.start_frame <= frame)
        try:
            data = media.read(segment.index)
        except UserError:
            raise Refused(Reason.GONE, "this part of the take is not kept any more") from None
        return _jpeg(media.init_segment + data, frame - segment.start_frame)


def _jpeg(movie: bytes, index: int) -> bytes:
    with av.open(io.BytesIO(movie), "r", format="mp4") as container:
        picture: Image.Image | None = None
        for number, frame in enumerate(container.decode(video=0)):
            if number == index:
                picture = frame.to_image()
                break
    if picture is None:
        raise Refused(Reason.GONE, "this part of the take is not kept any more")
    target = io.BytesIO()
    picture.save(target, format="JPEG", quality=QUALITY)
    return target.getvalue()
