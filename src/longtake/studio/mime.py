"""The MIME type of a take's media, which a browser's MediaSource asks for before the first byte."""

from __future__ import annotations

from longtake import boxes

_ENTRY = 8 + 78
"""Bytes of an `avc1` sample entry before the boxes inside it."""
_TABLE = 8
"""Bytes of `stsd` before its entries."""


def mime_of(init: bytes) -> str:
    """`video/mp4; codecs="avc1.PPCCLL"`: profile, constraints and level of the H.264 stream, from its `avcC` box."""
    table = boxes.find(init, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    entry = next(boxes.boxes(init, table.body + _TABLE, table.end))
    inside = boxes.boxes(init, entry.start + _ENTRY, entry.end)
    config = next(box for box in inside if box.kind == b"avcC")
    return f'video/mp4; codecs="avc1.{init[config.body + 1 : config.body + 4].hex()}"'
