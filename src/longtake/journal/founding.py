"""New takes: their folders are made aside and put in place when they are whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from longtake.errors import UserError
from longtake.footage import Picture
from longtake.journal import disk
from longtake.journal.facts import Facts
from longtake.journal.files import (
    CHUNKS,
    GIVEN,
    SNAPSHOTS,
    clip_file,
    given_file,
    image_file,
    latents_file,
    segment_file,
    snapshot_file,
    to_png,
)
from longtake.journal.rows import ChunkRow, CueRow, GivenRow, SnapshotRow
from longtake.journal.store import Store
from longtake.journal.turning import Turn

_STALE = 3600  # seconds after which a folder that was never put in place belongs to nobody


def found(
    home: Path,
    facts: Facts,
    init: bytes,
    cues: Sequence[CueRow],
    image: Picture | None,
    clip: Picture | None = None,
) -> Path:
    """A new take without chunks; returns its folder. clip: pictures `[T, H, W, 3]` that it goes on from."""
    with _new_folder(home, facts.id) as folder:
        if image is not None:
            disk.write(image_file(folder), to_png(image[None]))
        if clip is not None:
            disk.write(clip_file(folder), to_png(clip))
        disk.sync(folder / GIVEN)
        Store.create(folder, facts.to_dict(), init, cues).close()
    return home / facts.id


def found_branch(home: Path, parent: Store, facts: Facts, turn: Turn, copied: int) -> Path:
    """A new take that has the first `copied` chunks of `parent`, and turns there; returns its folder.

    Called inside a transaction of the parent. The files of chunks, snapshots and given pictures are shared.
    """
    rows = [*turn.rows[:copied]]
    made = rows[-1].chunk + 1 if rows else 0
    snapshots = [row for row in parent.snapshots() if row.number <= copied and row.made <= made]
    cues = list(turn.cues)
    if turn.new is not None:
        cues.append(CueRow(id=parent.last_cue() + 1, cue=turn.new, steered=turn.steers))
    given = parent.given()
    with _new_folder(home, facts.id) as folder:
        _share(parent, folder, rows, snapshots, given)
        with closing(Store.create(folder, facts.to_dict(), parent.init_segment, cues)) as store:
            store.add(rows, snapshots, given)
    return home / facts.id


def _share(
    parent: Store,
    folder: Path,
    rows: Sequence[ChunkRow],
    snapshots: Sequence[SnapshotRow],
    given: Sequence[GivenRow],
) -> None:
    kept, source = [row for row in rows if not row.expired], parent.folder
    pairs = [(latents_file(source, row.id), latents_file(folder, row.id)) for row in kept]
    pairs += [(segment_file(source, row.id), segment_file(folder, row.id)) for row in kept]
    pairs += [(snapshot_file(source, row.id), snapshot_file(folder, row.id)) for row in snapshots]
    pairs += [(given_file(source, row.first), given_file(folder, row.first)) for row in given]
    for file in (image_file, clip_file):
        if file(source).is_file():
            pairs.append((file(source), file(folder)))
    for old, new in pairs:
        with suppress(FileNotFoundError):  # damage of the parent: the branch finds it when it is opened
            disk.share(old, new)
    for name in (CHUNKS, SNAPSHOTS, GIVEN):
        disk.sync(folder / name)


@contextmanager
def _new_folder(home: Path, id: str) -> Iterator[Path]:
    """A folder that becomes the take `id` when all went well."""
    folder = home / f".new-{id}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        for name in (CHUNKS, SNAPSHOTS, GIVEN):
            (folder / name).mkdir(parents=True)
        yield folder
        disk.sync(folder)
        os.rename(folder, home / id)
        disk.sync(home)
    except BaseException as reason:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(reason, OSError | sqlite3.OperationalError):
            what = reason.strerror if isinstance(reason, OSError) else str(reason)
            raise UserError(
                f"no take can be recorded in {home}: {what}; make room, or set LONGTAKE_HOME to another folder"
            ) from None
        raise


def _sweep(home: Path) -> None:
    """Remove what a kill left of takes that were never put in place, or were being deleted."""
    for folder in home.glob(".new-*"):
        with suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _STALE:
                shutil.rmtree(folder, ignore_errors=True)
