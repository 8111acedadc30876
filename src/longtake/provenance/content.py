"""The hash that ties a manifest to a file's boxes (C2PA Technical Specification 2.x, BMFF-based hash, version 3).

Over every box at the top of the file that is not excluded: its place in the file (8 bytes) and the box itself.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

from longtake import boxes
from longtake.provenance import jumbf
from longtake.provenance.event import SCHEME, SCHEME_OFFSET, is_event

LABEL = "c2pa.hash.bmff.v3"
ALGORITHM = "sha256"
DIGEST_SIZE = 32
"""Bytes of such a hash."""
_NAME = "jumbf manifest"


def init_hash(init: bytes) -> dict[str, Any]:
    """The assertion for the head of a live stream: all but the manifest's own box and `ftyp`, as C2PA asks."""
    exclusions = [
        {"xpath": "/uuid", "data": [{"offset": 8, "value": jumbf.C2PA_UUID}]},
        {"xpath": "/ftyp"},
        {"xpath": "/mfra"},
    ]
    out = _hash(init, lambda box: box.kind in (b"uuid", b"ftyp"))
    return {"exclusions": exclusions, "alg": ALGORITHM, "hash": out, "name": _NAME}


def segment_map(digest: bytes) -> dict[str, Any]:
    """What is signed of one segment's bytes."""
    exclusions = [{"xpath": "/emsg", "data": [{"offset": SCHEME_OFFSET, "value": SCHEME.encode()}]}]
    return {"exclusions": exclusions, "alg": ALGORITHM, "hash": digest, "name": _NAME}


def segment_digest(segment: bytes, *, start: int = 0) -> bytes:
    """The hash of all but C2PA's own `emsg`; `start` bytes come in front of what is given."""
    return _hash(segment, lambda box: is_event(segment, box), start=start)


def _hash(data: bytes, excluded: Callable[[boxes.Box], bool], *, start: int = 0) -> bytes:
    digest, view = hashlib.sha256(), memoryview(data)
    for box in boxes.boxes(data):
        if not excluded(box):
            digest.update(struct.pack(">Q", start + box.start))
            digest.update(view[box.start : box.end])
    return digest.digest()
