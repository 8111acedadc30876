"""Reads what is known of a take from its folder, without opening a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from longtake.errors import UserError
from longtake.journal import disk
from longtake.journal.damage import has_lost_its_tail
from longtake.journal.facts import Facts
from longtake.journal.files import clip_file, given_file, image_file
from longtake.journal.lock import owner_of
from longtake.journal.record import SourceKind, Status, TakeRecord
from longtake.journal.rows import ChunkRow, EventRow
from longtake.journal.store import Store


def read_record(folder: Path) -> TakeRecord:
    """The record of a take. One whose journal cannot be read is `DAMAGED`, and says so in its notes."""
    try:
        with closing(Store(folder)) as store:
            return _record(store)
    except UserError as reason:
        return _unreadable(folder, str(reason))


def _record(store: Store) -> TakeRecord:
    folder, facts, rows = store.folder, Facts.from_dict(store.facts), store.chunks()
    owner = owner_of(folder)
    frames = rows[-1].start_frame + rows[-1].frames if rows else 0
    return TakeRecord(
        id=facts.id,
        created=facts.created,
        status=_status(store, owner, rows),
        owner=owner,
        model=facts.model,
        loading=facts.loading,
        seed=facts.seed,
        cues=tuple(row.cue for row in store.cues()),
        width=facts.form[0],
        height=facts.form[1],
        fps=facts.fps,
        num_frames=facts.num_frames,
        frames=frames,
        chunks=len(rows),
        kept_from=max((row.start_frame + row.frames for row in rows if row.expired), default=0),
        parent=facts.parent,
        branched_at=facts.branched_at,
        size=disk.tree_size(folder),
        out=facts.out,
        has_image=facts.has_image,
        source=_source(facts),
        fingerprint=facts.fingerprint,
        unreplayable=why_unreplayable(store, facts),
        notes=tuple(_note(event) for event in store.events() if event.text),
    )


def _unreadable(folder: Path, reason: str) -> TakeRecord:
    return TakeRecord(
        id=folder.name,
        created=folder.stat().st_mtime,
        status=Status.DAMAGED,
        owner=owner_of(folder),
        model="",
        loading={},
        seed=0,
        cues=(),
        width=0,
        height=0,
        fps=1,
        num_frames=None,
        frames=0,
        chunks=0,
        kept_from=0,
        parent=None,
        branched_at=None,
        size=disk.tree_size(folder),
        out=None,
        has_image=False,
        source=None,
        fingerprint={},
        unreplayable=reason,
        notes=(reason,),
    )


def _status(store: Store, owner: int | None, rows: Sequence[ChunkRow]) -> Status:
    if owner is not None:
        return Status.RUNNING
    if has_lost_its_tail(store.folder, rows):
        return Status.DAMAGED
    return Status.FINISHED if store.is_finished() else Status.STOPPED


def _source(facts: Facts) -> SourceKind | None:
    if facts.clip_frames:
        return SourceKind.CLIP
    if not facts.has_source:
        return None
    return SourceKind.LIVE if facts.source is None else SourceKind.FILE


def _note(event: EventRow) -> str:
    return f"{event.kind}: {event.text}"


def why_unreplayable(store: Store, facts: Facts) -> str | None:
    """What a replay would lack; None when it lacks nothing."""
    if facts.has_image and not image_file(store.folder).is_file():
        return "the picture that it begins with is gone"
    if facts.clip_frames and not clip_file(store.folder).is_file():
        return "the clip that it goes on from is gone"
    end = 0
    for row in store.given() if facts.has_source else ():
        if row.first != end or not given_file(store.folder, row.first).is_file():
            return f"picture {end} of the video that it is made from is gone"
        end += row.count
    return None
