"""The rows of a journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.timeline import Cue, Receipt


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkRow:
    """A chunk that is recorded."""

    id: int
    """Number of the row, and of its files; never used again."""
    number: int
    """Number of the chunk in the record, from 0 without gaps."""
    chunk: int
    """`Chunk.index`."""
    start_frame: int
    """Index of its first frame in the take."""
    frames: int
    """Its frames."""
    decode_end: int
    """Ticks of the track at its end."""
    latents_digest: str
    """SHA-256 of the file of latents."""
    frames_digest: str
    """SHA-256 of the frames' values."""
    segment_digest: str
    """SHA-256 of the segment."""
    latents_size: int
    """Bytes of the file of latents."""
    segment_size: int
    """Bytes of the segment."""
    receipts: str
    """Receipts that changed at it, as JSON."""
    expired: bool = False
    """Whether retention has taken its files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotRow:
    """The whole state after a chunk."""

    id: int
    """Row of the last chunk before it, and the name of its file."""
    number: int
    """Chunks recorded before it."""
    made: int
    """Engine chunks whose latents are made in it; one more than are recorded where decoding runs beside."""
    last_cue: int
    """The last direction that is known to it."""
    size: int
    """Bytes of its file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CueRow:
    """A direction."""

    id: int
    """Rises in the order in which they were accepted."""
    cue: Cue
    """The direction, with its chunk or its time."""
    steered: bool
    """Whether it came while the take ran; otherwise it is of the timeline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenRow:
    """Pictures of the source video that are kept."""

    first: int
    """Number of the first in the source, and the name of the file."""
    count: int
    """How many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow:
    """Something that happened to the take."""

    kind: str
    """"created", "resumed", "rewound", "cut", "expired" or "finished"."""
    time: float
    """Seconds since 1970."""
    text: str
    """In words; empty where the kind says it all."""


def digest(data: bytes | NDArray[Any]) -> str:
    """SHA-256 of some bytes, or of an array's values."""
    return hashlib.sha256(data if isinstance(data, bytes) else np.ascontiguousarray(data).data).hexdigest()


def receipts_to_json(receipts: Iterable[Receipt]) -> str:
    """For a row."""
    return json.dumps([receipt.to_dict() for receipt in receipts], ensure_ascii=False)


def cue_from_json(text: str) -> Cue:
    """A cue of a row."""
    values: Mapping[str, Any] = json.loads(text)
    return Cue(**values)
