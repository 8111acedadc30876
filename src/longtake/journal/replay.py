"""Making a take again from its record, and comparing everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from longtake import boxes
from longtake.chunk import Chunk
from longtake.errors import UserError
from longtake.journal.course import Navigator
from longtake.journal.facts import Facts
from longtake.journal.files import latents_file, segment_file
from longtake.journal.fingerprint import changed, fingerprint
from longtake.journal.reading import why_unreplayable
from longtake.journal.rows import ChunkRow, digest, receipts_to_json
from longtake.journal.scribe import to_file
from longtake.journal.store import Store
from longtake.journal.threads import as_begun
from longtake.media import encode_fragment
from longtake.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The first place where a replay differs from its record."""

    index: int
    """Number of the chunk."""
    what: str
    """"latents", "frames", "segment", "receipts", or "latents on disk" and "segment on disk"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayReport:
    """What a replay found."""

    chunks: int
    """Chunks that were made again."""
    frames: int
    """Frames in those that are equal."""
    difference: Difference | None
    """The first; None when every byte is the same."""
    other_build: str
    """How this build differs from the one that began the take, where a difference is no fault; empty for the same."""


def replay(
    store: Store, pipe: Pipeline, *, verify: bool, on_segment: Callable[[int, bytes], None]
) -> ReplayReport:
    """See `Library.replay`."""
    facts = Facts.from_dict(store.facts)
    with as_begun(facts):
        return _replay(store, facts, pipe, verify=verify, on_segment=on_segment)


def _replay(
    store: Store, facts: Facts, pipe: Pipeline, *, verify: bool, on_segment: Callable[[int, bytes], None]
) -> ReplayReport:
    frames = chunks = 0
    for row, chunk, segment in _made_again(store, facts, pipe):
        chunks += 1
        what = _difference(row, chunk, segment) or _on_disk(store.folder, row, chunk, segment)
        if verify and what is not None:
            difference = Difference(index=row.number, what=what)
            break
        frames += len(chunk.frames)
        on_segment(row.number, segment)
    else:
        difference = None
    other = changed(facts.fingerprint, fingerprint(pipe))
    return ReplayReport(chunks=chunks, frames=frames, difference=difference, other_build=other)


def _made_again(store: Store, facts: Facts, pipe: Pipeline) -> Iterator[tuple[ChunkRow, Chunk, bytes]]:
    """Every chunk of the record, made from the beginning; with its segment."""
    if pipe.name != facts.model:
        raise UserError(
            f"take {facts.id} is of model {facts.model!r}, this is {pipe.name!r}; load that model"
        )
    if lacking := why_unreplayable(store, facts):
        raise UserError(f"take {facts.id} cannot be replayed: {lacking}")
    rows, take = store.chunks(), Navigator(pipe=pipe, facts=facts, store=store).begin().take
    tail = boxes.EMPTY
    for row in rows:
        take.num_frames = facts.length_at(row.number)
        chunk = next(take)
        _, segment = encode_fragment(
            chunk.frames, facts.video, sequence=row.number + 1, decode_time=tail.decode_time
        )
        tail = tail.after(segment, len(segment))
        yield row, chunk, segment


def _difference(row: ChunkRow, chunk: Chunk, segment: bytes) -> str | None:
    if digest(to_file(chunk.latents)) != row.latents_digest:
        return "latents"
    if digest(chunk.frames) != row.frames_digest:
        return "frames"
    if digest(segment) != row.segment_digest:
        return "segment"
    return None if receipts_to_json(chunk.receipts) == row.receipts else "receipts"


def _on_disk(folder: Path, row: ChunkRow, chunk: Chunk, segment: bytes) -> str | None:
    """Whether the files say the same, where they are kept."""
    expected = {latents_file(folder, row.id): to_file(chunk.latents), segment_file(folder, row.id): segment}
    for (path, data), what in zip(expected.items(), ("latents", "segment"), strict=True):
        if not row.expired and (not path.is_file() or path.read_bytes() != data):
            return f"{what} on disk"
    return None
