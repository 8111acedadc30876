"""Pictures and video that a user gives: opened with limits, cut to a size, brought to a frame rate.

Limits are checked on what a file's head says, before anything is decoded, and again on what comes out. Only files on
this machine are opened, by decoders of well-known formats; nothing is fetched.

Pictures are `uint8 [H, W, 3]`, RGB.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from longtake.errors import UserError

Picture = NDArray[np.uint8]
ImageInput = str | os.PathLike[str] | Image.Image | NDArray[np.generic]
VideoInput = str | os.PathLike[str] | NDArray[np.generic] | Iterable[NDArray[np.generic] | Image.Image]

MAX_PIXELS = 64_000_000
"""Of one picture."""
MAX_IMAGE_BYTES = 128 * 2**20
MAX_VIDEO_BYTES = 16 * 2**30
MAX_VIDEO_FRAMES = 1_000_000

_EARLY = 0.1
"""Part of a frame's time by which the next may be shown early, so that 23.976 frames a second pass for 24."""
_IMAGES = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_VIDEOS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,flv,ogg,mpeg,mxf"
_BROKEN_IMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def read_image(image: ImageInput) -> Picture:
    """The picture in a file, an image of PIL, or an array: `uint8 [H, W, 3]`, or floats in 0…1.

    Raises UserError, in the user's words, for anything else, for what cannot be read and for what is too large.
    """
    if isinstance(image, str | os.PathLike):
        return _read_image_file(_local(image, "image", MAX_IMAGE_BYTES))
    if isinstance(image, Image.Image):
        check_pixels("the image", image.width, image.height)
        return np.asarray(image.convert("RGB"))
    return _as_picture(image, "the image")


def _read_image_file(path: Path) -> Picture:
    try:
        with Image.open(path, formats=_IMAGES) as image:
            check_pixels(f"image {path}", image.width, image.height)
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except _BROKEN_IMAGE as reason:
        known = ", ".join(_IMAGES)
        raise UserError(
            f"image {path} cannot be read ({_one_line(reason)}); give a whole {known} file"
        ) from None


def _local(given: str | os.PathLike[str], what: str, most: int) -> Path:
    """The path of a regular file of at most `most` bytes."""
    if "://" in os.fspath(given):
        raise UserError(f"{what} {given} is an address; nothing is fetched: save the file and give its path")
    path = Path(given)
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as reason:
        raise UserError(
            f"{what} {path} cannot be read: {_one_line(reason)}; give a file that is there"
        ) from None
    if not path.is_file():
        raise UserError(f"{what} {path} is not a file; give a file")
    if size > most:
        raise UserError(
            f"{what} {path} has {size / 2**20:.0f} MiB; the most is {most // 2**20} MiB: make it smaller"
        )
    return path


def check_pixels(what: str, width: int, height: int) -> None:
    """Refuse a picture that is empty, or larger than the limit."""
    if not 0 < width * height <= MAX_PIXELS:
        raise UserError(
            f"{what} has {width}x{height} pixels; 1 to {MAX_PIXELS // 10**6} million are accepted: make it smaller"
        )


def _as_picture(array: object, what: str) -> Picture:
    """An array of the user's as a picture."""
    if not isinstance(array, np.ndarray):
        raise UserError(
            f"{what} is of type {type(array).__name__}; give a file's path, a PIL image or an array [H, W, 3]"
        )
    if array.ndim != 3 or array.shape[-1] != 3:
        raise UserError(f"{what} is an array of shape {list(array.shape)}; give [H, W, 3], RGB")
    check_pixels(what, array.shape[1], array.shape[0])
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating) or not (array.min() >= 0 and array.max() <= 1):
        raise UserError(f"{what} is an array of {array.dtype}; give uint8, or floats from 0 to 1")
    return np.rint(array * 255).astype(np.uint8)


def cover(picture: Picture, width: int, height: int) -> Picture:
    """Scale a picture until it covers `width × height`, and cut off evenly what sticks out."""
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(ImageOps.fit(Image.fromarray(picture), (width, height), Image.Resampling.LANCZOS))


def cover_note(what: str, size: tuple[int, int], width: int, height: int) -> str:
    """What `cover` does to a picture of `size` `(width, height)`, in words for a summary."""
    if size == (width, height):
        return f"{what}: {width}x{height}"
    return f"{what}: {size[0]}x{size[1]}, scaled and cut to {width}x{height}"


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFile:
    """A video on disk that has passed the limits."""

    path: Path
    width: int
    height: int
    fps: Fraction
    """Average frames a second."""

    @classmethod
    def open(cls, given: str | os.PathLike[str]) -> VideoFile:
        """Read the head of a video file. Raises UserError when it is no video, or too large."""
        path = _local(given, "video", MAX_VIDEO_BYTES)
        with _container(path) as container:
            stream = container.streams.video[0]
            width, height, fps = stream.codec_context.width, stream.codec_context.height, stream.average_rate
            check_pixels(f"video {path}", width, height)
            if stream.frames > MAX_VIDEO_FRAMES:
                raise UserError(
                    f"video {path} has {stream.frames} frames; the most is {MAX_VIDEO_FRAMES}: cut it shorter"
                )
        if not fps or fps > 1000:
            raise UserError(
                f"video {path} has a frame rate of {fps}; give a video with 1 to 1000 frames a second"
            )
        return cls(path=path, width=width, height=height, fps=fps)

    def frames(self, fps: int, start: int = 0) -> Iterator[Picture]:
        """Its pictures at `fps` frames a second (the one on screen at that time), from number `start` on.

        Raises UserError when the file turns out to be damaged, or longer than the limit.
        """
        due = 0
        for frame, end in self._spans():
            picture: Picture | None = None
            while due < float(end - _EARLY / self.fps) * fps:
                if due >= MAX_VIDEO_FRAMES:
                    raise UserError(
                        f"video {self.path} goes on after {due} frames, which is the most; cut it shorter"
                    )
                if due >= start:
                    picture = self._to_rgb(frame) if picture is None else picture
                    yield picture
                due += 1

    def _spans(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Every frame, and the second after the first at which it leaves the screen."""
        first, before = 0.0, None
        try:
            with _container(self.path) as container:
                for index, frame in enumerate(container.decode(video=0)):
                    time = index / float(self.fps) if frame.time is None else frame.time
                    first = time if index == 0 else first
                    if before is not None:
                        yield before, time - first
                    before, last = frame, time - first
        except av.FFmpegError as reason:
            raise UserError(f"video {self.path} is damaged ({reason.strerror}); give a whole file") from None
        if before is not None:
            yield before, last + 1 / float(self.fps)

    def _to_rgb(self, frame: av.VideoFrame) -> Picture:
        check_pixels(f"video {self.path}", frame.width, frame.height)
        upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        return np.ascontiguousarray(upright, dtype=np.uint8)


def _container(path: Path) -> av.container.InputContainer:
    """An open file of a well-known format with a video in it. Its parts cannot point to other files."""
    options = {"format_whitelist": _VIDEOS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(path.absolute()), options=options)
    except (av.FFmpegError, OSError) as reason:
        raise UserError(
            f"video {path} cannot be read ({reason.strerror}); give a video file such as MP4"
        ) from None
    if not container.streams.video:
        container.close()
        raise UserError(f"{path} holds no video; give a video file")
    return container


def read_frames(video: Iterable[object]) -> Iterator[Picture]:
    """The pictures of a live source: an iterable of pictures, or of arrays `[T, H, W, 3]` of them."""
    size: tuple[int, ...] | None = None
    for item in video:
        picture = np.asarray(item.convert("RGB")) if isinstance(item, Image.Image) else item
        several = isinstance(picture, np.ndarray) and picture.ndim == 4
        for part in picture if several else [picture]:  # type: ignore[attr-defined]
            frame = _as_picture(part, "a frame of the video")
            if size not in (None, frame.shape):
                raise UserError(
                    f"a frame of the video has shape {list(frame.shape)} after {list(size or ())}; keep one"
                )
            size = frame.shape
            yield frame


def _one_line(reason: BaseException) -> str:
    text = (reason.strerror if isinstance(reason, OSError) else None) or str(reason)
    return " ".join(text.split()) or type(reason).__name__
