"""What the server says on live connections, built in one place."""

from __future__ import annotations

import time
from typing import Any

from longtake.studio.errors import Refused
from longtake.studio.events import Made
from longtake.studio.pacing import Standing
from longtake.studio.pictures import LivePictures


def chunk_message(index: int, media_time: float, num_frames: int, segment: bytes) -> dict[str, Any]:
    """Announces the media of a chunk."""
    return {
        "type": "video.chunk_metadata",
        "kind": "media",
        "generation_chunk_index": index,
        "media_time": media_time,
        "num_frames": num_frames,
        "byte_length": len(segment),
        "started_event_ids": [],
        "active_event_ids": [],
        "completed_event_ids": [],
        "source_frames": None,
        "timings": None,
        "ready_at": None,
        "drift": None,
        "anchors": [],
    }


def head_message(head: bytes) -> dict[str, Any]:
    """Announces the head of a stream."""
    return {"type": "video.chunk_metadata", "kind": "init", "byte_length": len(head)}


def made_message(made: Made) -> dict[str, Any]:
    """Announces the media of a chunk that was made just now."""
    return chunk_message(made.index, made.media_time, made.num_frames, made.segment) | {
        "source_frames": made.source_frames,
        "timings": made.timings,
        "ready_at": time.time() - (time.monotonic() - made.ready_at),
        "drift": made.drift,
        "anchors": [frame / made.fps for frame in made.anchors],
    }


def stats_message(
    made: Made,
    standing: Standing,
    *,
    first_chunk_seconds: float | None,
    steer_seconds: float | None,
    viewers: int,
    pictures: LivePictures | None,
) -> dict[str, Any]:
    """How a take stands after a chunk."""
    seconds = made.num_frames / made.fps
    return {
        "type": "session.stats",
        "made": standing.made,
        "playing": standing.playing,
        "lead": standing.lead,
        "allowed_lead": standing.allowed_lead,
        "chunk_seconds": made.compute,
        "speed": seconds / made.compute if made.compute else None,
        "time_to_first_chunk": first_chunk_seconds,
        "deadlines_missed": standing.deadlines_missed,
        "stall_seconds": standing.stall_seconds,
        "steer_seconds": steer_seconds,
        "viewers": viewers,
        "pictures": pictures and {"received": pictures.received, "dropped": pictures.dropped},
    }


def error_message(refused: Refused, *, event_id: str | None = None, fatal: bool = False) -> dict[str, Any]:
    """An error on the live connection."""
    return {"type": "error", **refused.to_dict(), "event_id": event_id, "fatal": fatal}
