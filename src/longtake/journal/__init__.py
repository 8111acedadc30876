"""Durable takes: an append-only record of every take, from which it is resumed, rewound, branched and replayed.

    library = Library()
    with library.create(pipe, Timeline.from_prompt("a red sphere rolls"), num_frames=240) as take:
        for recorded in take:                      # each chunk is on disk before it is yielded
            send(recorded.segment)
    with library.resume(take.id, pipe) as take:    # in any process, after any kind of end
        ...

A take is a folder under `takes/` of longtake's data folder:

    journal.db       SQLite (WAL, synchronous=FULL): what the take is, directions, chunks, snapshots, events
    lock             held by the process that owns the take; the system releases it however that process ends
    chunks/          latents (safetensors) and media segment (fMP4 fragment) of every chunk
    snapshots/       the whole state after some chunks (safetensors)
    given/           the pictures that the take is made from (PNG)

A file is synced before the row that announces it is committed, and a chunk is committed before it is yielded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtake.journal.library import Library
    from longtake.journal.media import Media, Segment
    from longtake.journal.record import SourceKind, Status, TakeRecord
    from longtake.journal.recorded import Recorded, RecordedTake
    from longtake.journal.replay import Difference, ReplayReport

__all__ = [
    "Difference",
    "Library",
    "Media",
    "Recorded",
    "RecordedTake",
    "ReplayReport",
    "Segment",
    "SourceKind",
    "Status",
    "TakeRecord",
]

_HOMES = {
    "Difference": "replay",
    "Library": "library",
    "Media": "media",
    "Recorded": "recorded",
    "RecordedTake": "recorded",
    "ReplayReport": "replay",
    "Segment": "media",
    "SourceKind": "record",
    "Status": "record",
    "TakeRecord": "record",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'longtake.journal' has no attribute {name!r}")
    return getattr(import_module(f"longtake.journal.{_HOMES[name]}"), name)
