"""The boxes of a fragmented MP4 (ISO/IEC 14496-12): find them, patch a fragment's place, cut a damaged tail.

Only what this package writes is understood: `ftyp moov (moof mdat)*`, one track, 32-bit box sizes,
`tfdt` version 1 and a default sample duration in `tfhd`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

_HEADER = struct.Struct(">I4s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """One box inside some bytes."""

    kind: bytes
    """Four letters."""
    start: int
    """Offset of its header."""
    end: int
    """Offset after its last byte."""

    @property
    def body(self) -> int:
        """Offset after its header."""
        return self.start + _HEADER.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """Where the last whole fragment of a file ends, and what the next one continues from."""

    end: int
    """Bytes of the file that are whole."""
    fragments: int
    """Whole fragments; they are numbered from 1."""
    frames: int
    """Frames in them."""
    decode_time: int
    """Ticks of the track at the end of the last one."""

    def after(self, fragment: bytes, size: int) -> Tail:
        """The tail when `size` bytes that end in this fragment follow."""
        return Tail(
            end=self.end + size,
            fragments=self.fragments + 1,
            frames=self.frames + _frames(fragment),
            decode_time=self.decode_time + ticks(fragment),
        )


EMPTY = Tail(end=0, fragments=0, frames=0, decode_time=0)


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes side by side in `data[start:end]`; stops at the first that is not whole."""
    end = len(data) if end is None else end
    while start + _HEADER.size <= end:
        size, kind = _HEADER.unpack_from(data, start)
        if size < _HEADER.size or start + size > end:
            return
        yield Box(kind=kind, start=start, end=start + size)
        start += size


def top(file: BinaryIO) -> Iterator[Box]:
    """The boxes at the top of a file, by their headers; stops at the first that is not whole."""
    end, start = file.seek(0, 2), 0
    while start + _HEADER.size <= end:
        file.seek(start)
        size, kind = _HEADER.unpack(file.read(_HEADER.size))
        if size < _HEADER.size or start + size > end:
            return
        yield Box(kind=kind, start=start, end=start + size)
        start += size


def find(data: bytes, *path: bytes) -> Box:
    """The first box at a path such as `b"moof", b"traf", b"tfdt"`. Raises `ValueError` when there is none."""
    place = Box(kind=b"", start=-_HEADER.size, end=len(data))
    for kind in path:
        inside = (box for box in boxes(data, place.body, place.end) if box.kind == kind)
        if (found := next(inside, None)) is None:
            raise ValueError(f"no box {b'/'.join(path).decode()}")
        place = found
    return place


def split(movie: bytes) -> tuple[bytes, bytes]:
    """A fragmented file with one fragment as `(ftyp + moov, moof + mdat)`; an index at the end is dropped."""
    kinds = {box.kind: box for box in boxes(movie)}
    return movie[: kinds[b"moov"].end], movie[kinds[b"moof"].start : kinds[b"mdat"].end]


def place(fragment: bytes, *, sequence: int, decode_time: int) -> bytes:
    """The fragment with its number (from 1) and the time in track ticks at which it starts."""
    patched = bytearray(fragment)
    struct.pack_into(">I", patched, find(fragment, b"moof", b"mfhd").body + 4, sequence)
    struct.pack_into(">Q", patched, find(fragment, b"moof", b"traf", b"tfdt").body + 4, decode_time)
    return bytes(patched)


def timescale(init: bytes) -> int:
    """Ticks a second of the track."""
    header = find(init, b"moov", b"trak", b"mdia", b"mdhd")
    (version,) = struct.unpack_from(">B", init, header.body)
    return int(struct.unpack_from(">I", init, header.body + (20 if version else 12))[0])


def sequence(fragment: bytes) -> int:
    """The number of a fragment, from 1."""
    return int(struct.unpack_from(">I", fragment, find(fragment, b"moof", b"mfhd").body + 4)[0])


def ticks(fragment: bytes) -> int:
    """How long a fragment is, in ticks of the track."""
    return _frames(fragment) * _ticks_a_frame(fragment)


def whole_tail(file: BinaryIO, init: bytes) -> Tail | None:
    """Find the end of the last whole fragment of a file; None when the file does not begin with `init`."""
    head = file.read(len(init))
    if not init.startswith(head):
        return None
    if len(head) < len(init):
        return EMPTY
    tail = replace(EMPTY, end=len(init))
    while (moof := _next_box(file, b"moof")) and (mdat := _next_box(file, b"mdat")):
        tail = tail.after(moof, len(moof) + len(mdat))
    return tail


def _next_box(file: BinaryIO, kind: bytes) -> bytes:
    """The next box of the file if it is whole and of this kind, otherwise nothing."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return b""
    size, found = _HEADER.unpack(header)
    body = file.read(size - _HEADER.size) if found == kind and size > _HEADER.size else b""
    return header + body if body and len(body) == size - _HEADER.size else b""


def _ticks_a_frame(fragment: bytes) -> int:
    return int(struct.unpack_from(">I", fragment, find(fragment, b"moof", b"traf", b"tfhd").body + 8)[0])


def _frames(fragment: bytes) -> int:
    return int(struct.unpack_from(">I", fragment, find(fragment, b"moof", b"traf", b"trun").body + 4)[0])
