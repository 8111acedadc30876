"""Takes in the form that clients get. Reads the disk: call it in a thread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from longtake.journal import Library, Status, TakeRecord
from longtake.studio.screening import Screening

Shown = Mapping[str, Screening]
"""Takes that are being made, by id."""


def summary(record: TakeRecord, children: Sequence[str], shown: Shown) -> dict[str, Any]:
    """One take of a list."""
    screening = shown.get(record.id)
    base = f"/v1/takes/{record.id}"
    parent = record.parent and {"take_id": record.parent, "at": record.branched_at}
    return {
        "id": record.id,
        "object": "take",
        "model": record.model,
        "seed": record.seed,
        "prompt": record.cues[0].prompt if record.cues else "",
        "status": _status(record, screening),
        "kind": "live" if screening is None or screening.is_live else "video",
        "created_at": round(record.created),
        "seconds": record.seconds,
        "chunks": record.chunks,
        "fps": record.fps,
        "width": record.width,
        "height": record.height,
        "num_frames": record.num_frames,
        "bytes": record.size,
        "parent": parent,
        "children": list(children),
        "viewers": 0 if screening is None else screening.viewers,
        "links": {
            "thumbnail": f"{base}/thumbnail",
            "content": f"{base}/content",
            "playlist": f"{base}/stream.m3u8",
        },
    }


def _status(record: TakeRecord, screening: Screening | None) -> str:
    if screening is not None:
        return "paused" if screening.is_paused else "live"
    if record.status is Status.RUNNING:
        return "elsewhere"
    return {Status.FINISHED: "complete", Status.DAMAGED: "damaged"}.get(record.status, "stopped")


def detail(library: Library, record: TakeRecord, children: Sequence[str], shown: Shown) -> dict[str, Any]:
    """All that is known of one take."""
    screening = shown.get(record.id)
    with library.media(record.id) as media:
        segments = media.segments()
    return summary(record, children, shown) | {
        "cues": [cue.to_dict() for cue in record.cues],
        "receipts": [receipt.to_dict() for segment in segments for receipt in segment.receipts],
        "segments": [
            {
                "index": segment.index,
                "start": segment.start_frame / record.fps,
                "seconds": segment.frames / record.fps,
                "bytes": segment.size if segment.kept else 0,
            }
            for segment in segments
        ],
        "rewindable_from": record.kept_from / record.fps,
        "drift": None if screening is None else screening.tally.drift,
        "can_be_replayed": record.unreplayable is None,
        "notes": list(record.notes),
    }


def children_of(records: Sequence[TakeRecord]) -> dict[str, list[str]]:
    """Branches by parent, oldest first."""
    found: dict[str, list[str]] = defaultdict(list)
    for record in sorted(records, key=lambda one: one.created):
        if record.parent is not None:
            found[record.parent].append(record.id)
    return found


def tree(records: Sequence[TakeRecord], take_id: str) -> dict[str, Any]:
    """The whole family of a take, from the oldest ancestor that is still there."""
    by_id, children = {record.id: record for record in records}, children_of(records)
    root, seen = by_id[take_id], {take_id}
    while root.parent in by_id and root.parent not in seen:
        root = by_id[root.parent]
        seen.add(root.id)
    return {"root": _node(root.id, by_id, children)}


def _node(
    take_id: str, by_id: Mapping[str, TakeRecord], children: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """A take and what branched from it, without recursion: families may be deep."""
    top: dict[str, Any] = {}
    waiting = [(take_id, top)]
    while waiting:
        id, node = waiting.pop()
        record = by_id[id]
        below: list[dict[str, Any]] = [{} for _ in children.get(id, ())]
        node |= {
            "take_id": id,
            "at": record.branched_at or 0.0,
            "prompt": record.cues[-1].prompt if record.cues else "",
            "seconds": record.seconds,
            "children": below,
        }
        waiting += zip(children.get(id, ()), below, strict=True)
    return top
