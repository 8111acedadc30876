"""The process that decodes what users send: `python -m longtake.studio.decoder`. It has little memory and time.

It sets its own limits before it imports anything that reads media. What it writes is made anew from pixels: a PNG, or
a lossless video; nothing of the user's bytes goes on. It answers in codes; words of a decoder never leave it.
"""

from __future__ import annotations

import json
import math
import resource
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from PIL import Image

CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg", "gif")
IMAGES = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
SIDE = 1024
"""Longest side of what is kept; models make less."""
FASTEST = 60
"""Frames a second of what is kept."""
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
"""What Pillow raises over damaged files."""
HEADER = struct.Struct(">I")
PICTURE = struct.Struct(">BHH")


class RefusedFileError(Exception):
    """The file will not do; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def main() -> None:
    """`file KIND IN OUT LIMITS` answers one JSON line; `pictures WIDTH HEIGHT LIMITS` serves until its input ends."""
    mode, *rest = sys.argv[1:]
    limits = json.loads(rest[-1])
    _confine(limits)
    if mode == "pictures":
        serve_pictures(int(rest[0]), int(rest[1]), limits["pixels"], sys.stdin.buffer, sys.stdout.buffer)
        return
    try:
        answer = decode_file(rest[0], Path(rest[1]), Path(rest[2]), limits)
    except RefusedFileError as refused:
        answer = {"refused": refused.code}
    except MemoryError:
        answer = {"refused": "too_much"}
    sys.stdout.write(json.dumps(answer) + "\n")


def _confine(limits: dict[str, Any]) -> None:
    for name, value in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_CPU, limits["cpu"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(name, (value, value))


def decode_file(kind: str, source: Path, out: Path, limits: dict[str, Any]) -> dict[str, Any]:
    """Decode a file and write it anew. Raises RefusedFileError."""
    if kind == "gif":
        kind = "video" if _count_pictures(source, limits["pixels"]) > 1 else "image"
    return _image(source, out, limits) if kind == "image" else _video(source, out, limits)


def _open_image(source: Path | BinaryIO, most: int) -> Image.Image:
    from PIL import Image

    try:
        image = Image.open(source, formats=IMAGES)
    except (*_BROKEN, Image.DecompressionBombError):
        raise RefusedFileError("damaged") from None
    if not 0 < image.width * image.height <= most:
        raise RefusedFileError("pixels")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image, ImageOps

    try:
        return ImageOps.exif_transpose(image).convert("RGB")
    except (*_BROKEN, Image.DecompressionBombError):
        raise RefusedFileError("damaged") from None


def _count_pictures(source: Path, most: int) -> int:
    with _open_image(source, most) as image:
        try:
            return int(getattr(image, "n_frames", 1))
        except _BROKEN:
            raise RefusedFileError("damaged") from None


def _image(source: Path, out: Path, limits: dict[str, Any]) -> dict[str, Any]:
    with _open_image(source, limits["pixels"]) as image:
        picture = _to_rgb(image)
    size = picture.size
    picture.thumbnail((SIDE, SIDE))
    picture.save(out, format="PNG")
    return {"kind": "image", "width": size[0], "height": size[1], "frames": 1, "fps": None, "seconds": None}


def _video(source: Path, out: Path, limits: dict[str, Any]) -> dict[str, Any]:
    from longtake.errors import UserError
    from longtake.footage import VideoFile

    head = _check_head(source, limits)
    try:
        file = VideoFile.open(source)
        rate = min(FASTEST, max(1, round(file.fps)))
        count = _write_anew(file, rate, out, limits)
    except UserError:
        raise RefusedFileError("damaged") from None
    if not count:
        raise RefusedFileError("damaged")
    return {"kind": "video", **head, "frames": count, "fps": rate, "seconds": count / rate}


def _check_head(source: Path, limits: dict[str, Any]) -> dict[str, int]:
    """Size of the picture, after what the head of the file says has passed the limits."""
    import av

    from longtake.errors import UserError
    from longtake.footage import _container

    try:
        with _container(source) as container:
            stream = container.streams.video[0]
            codec = stream.codec_context
            if codec.name not in CODECS:
                raise RefusedFileError("codec")
            if not 0 < codec.width * codec.height <= limits["pixels"]:
                raise RefusedFileError("pixels")
            seconds = float((container.duration or 0) / av.time_base)
            if seconds > limits["seconds"] or stream.frames > limits["frames"]:
                raise RefusedFileError("length")
            return {"width": codec.width, "height": codec.height}
    except (UserError, av.FFmpegError):
        raise RefusedFileError("damaged") from None


def _write_anew(file: Any, rate: int, out: Path, limits: dict[str, Any]) -> int:
    """Its pictures as a lossless video; the number of them."""
    import av

    scale = min(1.0, SIDE / max(file.width, file.height))
    most = min(limits["frames"], math.ceil(limits["seconds"] * rate))
    count = 0
    with av.open(str(out), "w", format="mp4") as container:
        stream = container.add_stream("libx264rgb", rate=rate, options={"qp": "0", "preset": "ultrafast"})
        stream.pix_fmt, stream.codec_context.thread_count = "rgb24", 1
        for picture in file.frames(rate):
            if count >= most:
                raise RefusedFileError("length")
            if not count:
                height, width = picture.shape[:2]
                stream.width, stream.height = max(1, round(width * scale)), max(1, round(height * scale))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(stream.width, stream.height)
            frame.pts, frame.time_base = count, Fraction(1, rate)
            container.mux(stream.encode(frame))
            count += 1
        if count:
            container.mux(stream.encode())
    return count


def serve_pictures(width: int, height: int, pixels: int, source: BinaryIO, target: BinaryIO) -> None:
    """For each picture (length, bytes) answer a flag, width, height and its `rgb24` bytes, scaled and cut to size."""
    import io

    from PIL import ImageOps

    while len(head := source.read(HEADER.size)) == HEADER.size:
        data = source.read(HEADER.unpack(head)[0])
        try:
            with _open_image(io.BytesIO(data), pixels) as image:
                picture = ImageOps.fit(_to_rgb(image), (width, height))
            target.write(PICTURE.pack(1, width, height) + picture.tobytes())
        except RefusedFileError:
            target.write(PICTURE.pack(0, 0, 0))
        target.flush()


if __name__ == "__main__":
    main()
