"""What a crash of the machine, or a hand, may have done to a take; and the way back to its last good chunk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longtake.journal import disk
from longtake.journal.files import latents_file, segment_file
from longtake.journal.rows import ChunkRow, digest
from longtake.journal.store import Store

READ_WHOLE = 16
"""Of the newest chunks segments are read and compared with their digest; of all others the lengths are looked at."""


def has_lost_its_tail(folder: Path, rows: Sequence[ChunkRow]) -> bool:
    """Whether the newest chunk is not whole; quick, for lists."""
    return _first_bad(folder, rows[-1:]) is not None


def cut_damage(store: Store) -> str | None:
    """Drop what follows the last good chunk; returns what was found, in words, and None when all is well."""
    rows = store.chunks()
    bad = _first_bad(store.folder, rows)
    if bad is None:
        return None
    lost = len(rows) - bad.number
    text = f"chunk {bad.number} is damaged on disk; cut back to the {bad.number} before it ({lost} dropped)"
    store.cut(bad.number, "cut", text)
    return text


def _first_bad(folder: Path, rows: Sequence[ChunkRow]) -> ChunkRow | None:
    newest = rows[-1].number if rows else 0
    for row in rows:
        if not row.expired and not _is_whole(folder, row, newest - row.number < READ_WHOLE):
            return row
    return None


def _is_whole(folder: Path, row: ChunkRow, read: bool) -> bool:
    segment = segment_file(folder, row.id)
    sizes = disk.size(latents_file(folder, row.id)), disk.size(segment)
    if sizes != (row.latents_size, row.segment_size):
        return False
    return not read or digest(segment.read_bytes()) == row.segment_digest
