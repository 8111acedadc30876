"""Bounds what takes need on disk: beyond it media and latents go, oldest first.

Other takes give first, the one that was used least recently before the others, then the take itself. What a take is
made from (seed, directions, given pictures) and its newest snapshot stay, so it can always go on and be replayed; what
is gone cannot be shown, exported, rewound to or branched from. Snapshots but the newest go when those of one take have
more than a quarter of the room.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from longtake.errors import UserError
from longtake.journal.files import latents_file, segment_file, snapshot_file
from longtake.journal.lock import Ownership
from longtake.journal.rows import ChunkRow, SnapshotRow
from longtake.journal.store import Store

VARIABLE = "LONGTAKE_RETENTION"
DEFAULT = 16 * 2**30
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SNAPSHOTS = 4
"""Part of the room that the snapshots of one take may have."""
_LEAST = 2
"""Chunks that a take keeps in any case."""
_ALONE = threading.Lock()
"""Two that make room at once would make it twice."""


def read_size(text: str, name: str) -> int:
    """Bytes of `500M`, `16GiB` or a plain number. Raises UserError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UserError(f"{name} {text!r} is not a size; give bytes, or a number with M, G or T such as 16G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def limit() -> int:
    """Bytes in force where nothing is given."""
    text = os.environ.get(VARIABLE)
    return DEFAULT if text is None else read_size(text, VARIABLE)


class Budget:
    """What one take may still write before room has to be made."""

    def __init__(self, own: Store, others: Callable[[], Iterable[Path]], limit: int) -> None:
        """others: folders of all takes, the one used least recently first."""
        self._own, self._others, self._limit = own, others, limit
        self._left = self._step = limit // 64

    def spend(self, size: int) -> None:
        """So many bytes were written. Now and then the whole is measured, and room is made."""
        self._left -= size
        if self._left < 0:
            used = make_room(self._own, self._others(), self._limit)
            self._left = max(self._step, min(self._limit - used, 4 * self._step))


def make_room(own: Store, others: Iterable[Path], limit: int) -> int:
    """Bring all takes below `limit`; returns the bytes that they have then."""
    with _ALONE:
        return _make_room(own, others, limit)


def _make_room(own: Store, others: Iterable[Path], limit: int) -> int:
    folders = [folder for folder in others if folder != own.folder]
    used = own.kept_bytes() + sum(map(_kept_in, folders))
    for folder in folders:
        if used > limit:
            used -= _take_from(folder, used - limit)
    used -= _drop_snapshots(own, limit // _SNAPSHOTS)
    return used - _drop_chunks(own, used - limit)


def _kept_in(folder: Path) -> int:
    try:
        with closing(Store(folder)) as store:
            return store.kept_bytes()
    except UserError:
        return 0  # damaged: not ours to touch


def _take_from(folder: Path, excess: int) -> int:
    """Free bytes of another take, if nobody owns it."""
    try:
        with closing(Ownership(folder)), closing(Store(folder)) as store:
            return _drop_chunks(store, excess) + _drop_snapshots(store, 0)
    except UserError:
        return 0


def _drop_chunks(store: Store, excess: int) -> int:
    """Let the oldest chunks go until `excess` bytes are free, but for the last few; returns the bytes."""
    freed, going = 0, list[ChunkRow]()
    for row in store.kept()[:-_LEAST] if excess > 0 else ():
        if freed >= excess:
            break
        freed += row.latents_size + row.segment_size
        going.append(row)
    if going:
        store.expire(going, [], f"media of {len(going)} chunks went to make room")
    for row in going:
        latents_file(store.folder, row.id).unlink(missing_ok=True)
        segment_file(store.folder, row.id).unlink(missing_ok=True)
    return freed


def _drop_snapshots(store: Store, room: int) -> int:
    """Let all snapshots but the newest go that do not fit into `room`; returns the bytes."""
    used, going = 0, list[SnapshotRow]()
    for row in reversed(store.snapshots()):
        used += row.size
        if used > room and used > row.size:
            going.append(row)
    if going:
        store.expire([], going, "")
    for row in going:
        snapshot_file(store.folder, row.id).unlink(missing_ok=True)
    return sum(row.size for row in going)
