"""Video files: a fragmented MP4 that grows chunk by chunk, and reading a video back.

Pixel frames are `uint8 [T, H, W, 3]`, RGB. The file is H.264 in yuv420p, BT.709, one closed group of pictures
per chunk made by a fresh encoder with fixed settings, so the bytes of a chunk depend on its frames alone
(and, in two fields, on its place). A file that was cut off anywhere can be cut back to its last whole chunk
and continued.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from longtake import boxes
from longtake.errors import UserError

_LARGEST = 4096  # pixels a side; H.264's levels end near here
_MUXER = {"movflags": "frag_custom+empty_moov+default_base_moof", "fflags": "+bitexact"}
_X264 = {
    "preset": "veryfast",
    "crf": "17",
    "x264-params": "threads=1:bframes=0:scenecut=0:keyint=infinite:open-gop=0:mbtree=0",
}
"""No macroblock tree: with it about one small chunk in 300 comes out in other bytes than its twin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFormat:
    """What every chunk of one file shares. Raises `UserError` for what H.264 in yuv420p cannot hold."""

    width: int
    """Pixels, even."""
    height: int
    """Pixels, even."""
    fps: Fraction | int
    """Frames a second, above 0."""

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if side % 2 or not 2 <= side <= _LARGEST:
                wanted = f"an even number from 2 to {_LARGEST}"
                raise UserError(f"{name} {side} does not fit the video file (yuv420p); give {wanted}")
        if self.fps <= 0:
            raise UserError(f"fps {self.fps} is not a frame rate; give a number above 0")


def encode_fragment(
    frames: np.ndarray, form: VideoFormat, *, sequence: int = 1, decode_time: int = 0
) -> tuple[bytes, bytes]:
    """Encode frames as one closed group of pictures.

    Args:
        frames: `uint8 [T, H, W, 3]`, T ≥ 1; enlarged or reduced to the format by Lanczos where sizes differ.
        form: size and rate of the file.
        sequence: number of the fragment in its file, from 1.
        decode_time: ticks of the track at which it starts.

    Returns:
        `(init, fragment)`: the head of the file (`ftyp moov`), the same for every chunk, and `moof mdat`.
    """
    target = io.BytesIO()
    with av.open(target, "w", format="mp4", options=_MUXER) as container:
        stream = container.add_stream("libx264", rate=Fraction(form.fps), options=_X264)
        stream.width, stream.height, stream.pix_fmt = form.width, form.height, "yuv420p"
        codec = stream.codec_context
        codec.thread_count = 1
        codec.colorspace = codec.color_primaries = codec.color_trc = 1  # BT.709
        codec.color_range = 1  # limited
        for index, picture in enumerate(frames):
            container.mux(stream.encode(_to_yuv(picture, index, form)))
        container.mux(stream.encode())
    init, fragment = boxes.split(target.getvalue())
    return init, boxes.place(fragment, sequence=sequence, decode_time=decode_time)


def _to_yuv(picture: np.ndarray, index: int, form: VideoFormat) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
        form.width,
        form.height,
        "yuv420p",
        dst_colorspace="ITU709",
        dst_color_range="MPEG",
        interpolation="LANCZOS",
    )
    frame.pts, frame.time_base = index, 1 / Fraction(form.fps)
    return frame


class FragmentedMp4Writer:
    """Writes chunks into a file that can be watched while it grows.

    The file appears with its first chunk, so what exists is always playable. Every `write` is flushed to the
    operating system as a whole fragment; if that fails (disk full, interrupted), the file is cut back to the
    chunks before it and the error goes on.

    Args:
        path: where to write.
        form: size and rate of the file.
        overwrite: replace an existing file (at the first chunk, not before).

    Raises:
        FileExistsError: at the first chunk, when the file is there and `overwrite` is not given.
    """

    def __init__(self, path: str | Path, form: VideoFormat, *, overwrite: bool = False) -> None:
        self.path, self.form = Path(path), form
        self._mode = "wb" if overwrite else "xb"
        self._file: io.FileIO | None = None
        self._tail = boxes.EMPTY

    @classmethod
    def resume(cls, path: str | Path, form: VideoFormat) -> Self:
        """Continue a file that this class was writing, after cutting what follows its last whole chunk.

        Raises:
            UserError: the file cannot be opened, or was not written in this format.
        """
        writer = cls(path, form)
        init, _ = encode_fragment(np.zeros((1, form.height, form.width, 3), np.uint8), form)
        try:
            writer._file = io.FileIO(writer.path, "rb+")
        except OSError as error:
            raise UserError(f"{path} cannot be continued: {error.strerror}") from error
        tail = boxes.whole_tail(writer._file, init)
        if tail is None:
            writer._file.close()
            made = f"{form.width}x{form.height} at {form.fps} fps"
            raise UserError(f"{path} is not a longtake video of {made}; continue it as it was begun")
        writer._tail = tail
        writer._cut()
        return writer

    @property
    def chunks(self) -> int:
        """Whole chunks in the file."""
        return self._tail.fragments

    @property
    def frames(self) -> int:
        """Frames in the file."""
        return self._tail.frames

    def write(self, frames: np.ndarray) -> bytes:
        """Append `uint8 [T, H, W, 3]`, T ≥ 1, as one chunk; returns its fragment, `moof mdat`."""
        init, fragment = encode_fragment(
            frames, self.form, sequence=self._tail.fragments + 1, decode_time=self._tail.decode_time
        )
        self.append(init, fragment)
        return fragment

    def append(self, init: bytes, fragment: bytes) -> None:
        """Append a chunk that is encoded already, in the file's format and for its place in the file."""
        data = fragment if self._tail.end else init + fragment
        self._file = self._file or io.FileIO(self.path, self._mode)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._tail = self._tail.after(fragment, len(data))
        except BaseException:
            with contextlib.suppress(OSError):  # a device has no length; the first error is the one to tell
                self._cut()
            raise

    def _cut(self) -> None:
        assert self._file is not None
        self._file.truncate(self._tail.end)
        self._file.seek(self._tail.end)

    def close(self) -> None:
        """Let the file go; a file that got no whole chunk is removed."""
        if self._file is None:
            return
        self._file.close()
        if not self._tail.end and self.path.is_file():
            self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_video(path: str | Path) -> tuple[np.ndarray, Fraction]:
    """Read every frame of a video file.

    Returns:
        `(frames, fps)`: `uint8 [T, H, W, 3]` and the average frame rate.

    Raises:
        UserError: the file cannot be read or holds no video.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path} holds no video; give a video file")
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            fps = container.streams.video[0].average_rate
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"{path} cannot be read as video: {error.strerror}") from error
    if not frames or fps is None:
        raise UserError(f"{path} holds no frames; give a video file")
    return np.stack(frames), fps
