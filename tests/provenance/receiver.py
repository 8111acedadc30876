"""The side that a stream is sent to."""

from __future__ import annotations

from longtake import boxes
from longtake.provenance import jumbf
from longtake.provenance.stream import StreamVerifier


def receiver(init: bytes, *, late: bool = False) -> StreamVerifier:
    """Knows the head of a stream."""
    uuid = next(init[box.start : box.end] for box in boxes.boxes(init) if box.kind == b"uuid")
    return StreamVerifier.of(jumbf.active(uuid), init, late=late)
