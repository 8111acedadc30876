"""The `emsg` box in front of a live segment (ISO/IEC 23009-1) that carries its signature.

After the C2PA Technical Specification 2.x, Live video, "verifiable segment info": version 0, value
`fseg`, one a segment.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from longtake import boxes
from longtake.provenance import jumbf

SCHEME = "urn:c2pa:verifiable-segment-info"
SCHEME_OFFSET = 12
"""Bytes from the start of the box to the scheme: box header, version and flags."""
_HEAD = bytes(4) + SCHEME.encode() + b"\0" + b"fseg\0"  # version 0, no flags
_TIMES = struct.Struct(">IIII")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What is said about one segment."""

    timescale: int
    """Ticks a second of the track."""
    duration: int
    """Ticks of the segment."""
    number: int
    """Counts the segments that a session key has signed, from 1."""
    message: bytes
    """The signature with what it covers: a COSE_Sign1."""

    def to_box(self) -> bytes:
        """The whole box."""
        times = _TIMES.pack(self.timescale, 0, self.duration, self.number)
        return jumbf.box(b"emsg", _HEAD, times, self.message)

    @classmethod
    def read(cls, data: bytes, box: boxes.Box) -> Self:
        """Raises `ValueError` when it is not written the way C2PA asks."""
        body = data[box.body : box.end]
        if not body.startswith(_HEAD) or len(body) < len(_HEAD) + _TIMES.size:
            raise ValueError("not a C2PA event")
        timescale, delta, duration, number = _TIMES.unpack_from(body, len(_HEAD))
        if delta:
            raise ValueError("an event that does not start with its segment")
        message = body[len(_HEAD) + _TIMES.size :]
        return cls(timescale=timescale, duration=duration, number=number, message=message)


def is_event(data: bytes, box: boxes.Box) -> bool:
    """Whether a box carries C2PA's segment information, well written or not."""
    return box.kind == b"emsg" and data[box.start + SCHEME_OFFSET : box.end].startswith(SCHEME.encode())
