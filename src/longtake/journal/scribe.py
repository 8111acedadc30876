"""Writes the chunks of one take down: first the files, then the row that announces them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import safetensors.torch
from torch import Tensor

from longtake import boxes
from longtake.chunk import Chunk
from longtake.journal import disk
from longtake.journal.files import (
    CHUNKS,
    GIVEN,
    SNAPSHOTS,
    given_file,
    latents_file,
    segment_file,
    snapshot_file,
    to_png,
)
from longtake.journal.rows import ChunkRow, GivenRow, SnapshotRow, digest, receipts_to_json
from longtake.journal.store import Store
from longtake.journal.tape import Tape
from longtake.media import VideoFormat, encode_fragment
from longtake.snapshot import Snapshot

LEAST_INTERVAL, MOST_INTERVAL = 8, 256
"""Chunks from one snapshot to the next."""
BYTES_A_CHUNK = 16 * 2**20
"""Of snapshots, on average; a larger state is saved less often."""


class Saved(NamedTuple):
    """A snapshot to be recorded with a chunk."""

    snapshot: Snapshot
    """State after the chunk."""
    last_cue: int
    """The last direction that it knows."""


class Written(NamedTuple):
    """A chunk that is durable."""

    number: int
    """Its number in the record."""
    segment: bytes
    """Its media."""
    seconds: float
    """What writing took, encoding not counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the next chunk goes."""

    id: int
    """Its row."""
    number: int
    """Its number in the record."""
    chunk: int
    """`Chunk.index` of the one before it; -1 at the start."""
    tail: boxes.Tail
    """End of the media before it."""

    @classmethod
    def after_record(cls, store: Store) -> Place:
        """The place after what is recorded."""
        rows, id = store.chunks(), store.last_id() + 1
        if not rows:
            return cls(id=id, number=0, chunk=-1, tail=boxes.EMPTY)
        tail = boxes.Tail(
            end=len(store.init_segment) + sum(row.segment_size for row in rows),
            fragments=len(rows),
            frames=sum(row.frames for row in rows),
            decode_time=rows[-1].decode_end,
        )
        return cls(id=id, number=len(rows), chunk=rows[-1].chunk, tail=tail)


class Scribe:
    """See the module's text."""

    def __init__(self, store: Store, form: VideoFormat) -> None:
        self.store, self._form, self._folder = store, form, store.folder
        self._place = Place.after_record(store)
        snapshots = store.snapshots()
        self._saved = snapshots[-1].number if snapshots else 0
        self._interval = interval(snapshots[-1].size) if snapshots else LEAST_INTERVAL

    @property
    def number(self) -> int:
        """Chunks recorded."""
        return self._place.number

    @property
    def wants_snapshot(self) -> bool:
        """Whether the state after the next chunk is to be saved."""
        return self._place.number + 1 - self._saved >= self._interval

    def write(self, chunk: Chunk, saved: Saved | None, tape: Tape | None) -> Written:
        """Record a chunk; returns when it is durable. The same chunk may come again.

        Raises OSError and sqlite3.OperationalError when it cannot be written.
        """
        place = self._place
        if chunk.index == place.chunk:  # recorded, and interrupted before the caller knew
            return Written(place.number - 1, segment_file(self._folder, place.id - 1).read_bytes(), 0.0)
        _, segment = encode_fragment(
            chunk.frames, self._form, sequence=place.number + 1, decode_time=place.tail.decode_time
        )
        began = time.perf_counter()
        tail = place.tail.after(segment, len(segment))
        latents = to_file(chunk.latents)
        disk.write(latents_file(self._folder, place.id), latents)
        disk.write(segment_file(self._folder, place.id), segment)
        disk.sync(self._folder / CHUNKS)
        row = _row(place, chunk, tail, latents, segment)
        snapshot = None if saved is None else self._save(saved)
        given = None if tape is None else self._keep(tape)
        self.store.add([row], [snapshot] if snapshot else [], [given] if given else [])
        if tape is not None and given is not None:
            tape.kept(given)
        if snapshot is not None:
            self._saved, self._interval = snapshot.number, interval(snapshot.size)
        self._place = Place(id=place.id + 1, number=place.number + 1, chunk=chunk.index, tail=tail)
        return Written(place.number, segment, time.perf_counter() - began)

    def _save(self, saved: Saved) -> SnapshotRow:
        place, path = self._place, snapshot_file(self._folder, self._place.id)
        saved.snapshot.save(path)
        disk.sync(path)
        disk.sync(self._folder / SNAPSHOTS)
        return SnapshotRow(
            id=place.id,
            number=place.number + 1,
            made=saved.snapshot.meta["chunk"],
            last_cue=saved.last_cue,
            size=path.stat().st_size,
        )

    def _keep(self, tape: Tape) -> GivenRow | None:
        """Keep the pictures that were taken from the source."""
        if (pending := tape.pending()) is None:
            return None
        row, pictures = pending
        disk.write(given_file(self._folder, row.first), to_png(pictures))
        disk.sync(self._folder / GIVEN)
        return row


def interval(snapshot_bytes: int) -> int:
    """Chunks between snapshots of this size."""
    return max(LEAST_INTERVAL, min(MOST_INTERVAL, math.ceil(snapshot_bytes / BYTES_A_CHUNK)))


def to_file(latents: Tensor) -> bytes:
    """Latents as a safetensors file."""
    data: bytes = safetensors.torch.save({"latents": latents.contiguous()})
    return data


def _row(place: Place, chunk: Chunk, tail: boxes.Tail, latents: bytes, segment: bytes) -> ChunkRow:
    return ChunkRow(
        id=place.id,
        number=place.number,
        chunk=chunk.index,
        start_frame=chunk.start_frame,
        frames=len(chunk.frames),
        decode_end=tail.decode_time,
        latents_digest=digest(latents),
        frames_digest=digest(chunk.frames),
        segment_digest=digest(segment),
        latents_size=len(latents),
        segment_size=len(segment),
        receipts=receipts_to_json(chunk.receipts),
    )
