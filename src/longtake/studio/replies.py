"""Schemas of what the server says on a live connection."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_OBJECT: dict[str, Any] = {"type": "object"}


def _or_none(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _one_of(*names: str) -> dict[str, Any]:
    return {"type": "string", "enum": [*names]}


def _says(name: str, optional: tuple[str, ...] = (), /, **properties: dict[str, Any]) -> dict[str, Any]:
    """An object of this type with these properties and no others."""
    return {
        "type": "object",
        "properties": {"type": {"const": name}, **properties},
        "required": ["type", *(key for key in properties if key not in optional)],
        "additionalProperties": False,
    }


_PARENT = {
    "type": "object",
    "properties": {"take_id": _TEXT, "at": _or_none(_NUMBER)},
    "required": ["take_id", "at"],
    "additionalProperties": False,
}
_OF_MEDIA = (
    "generation_chunk_index",
    "media_time",
    "num_frames",
    "started_event_ids",
    "active_event_ids",
    "completed_event_ids",
    "source_frames",
    "timings",
    "ready_at",
    "drift",
    "anchors",
)

REPLIES: dict[str, dict[str, Any]] = {
    "video.start": _says(
        "video.start",
        request_id=_TEXT,
        take_id=_TEXT,
        format=_one_of("m4s"),
        role=_one_of("direct", "watch"),
        mime=_TEXT,
        media_time=_NUMBER,
        epoch=_WHOLE,
        config=_OBJECT,
    ),
    "video.chunk_metadata": _says(
        "video.chunk_metadata",
        _OF_MEDIA,
        kind=_one_of("init", "media"),
        transport_chunk_index=_WHOLE,
        byte_length=_WHOLE,
        epoch=_WHOLE,
        generation_chunk_index=_WHOLE,
        media_time=_NUMBER,
        num_frames=_WHOLE,
        started_event_ids=_TEXTS,
        active_event_ids=_TEXTS,
        completed_event_ids=_TEXTS,
        source_frames=_or_none({"type": "array", "items": _WHOLE, "minItems": 2, "maxItems": 2}),
        timings=_or_none(_OBJECT),
        ready_at=_or_none(_NUMBER),
        drift=_or_none(_OBJECT),
        anchors={"type": "array", "items": _NUMBER},
    ),
    "session.interaction.queued": _says(
        "session.interaction.queued",
        event_id=_TEXT,
        status=_one_of("accepted"),
        chunk=_or_none(_WHOLE),
        media_time=_or_none(_NUMBER),
    ),
    "session.receipt": _says(
        "session.receipt",
        event_id=_or_none(_TEXT),
        prompt=_TEXT,
        status=_one_of("begun", "applied", "superseded", "rejected"),
        chunk=_or_none(_WHOLE),
        media_time=_or_none(_NUMBER),
    ),
    "session.paused": _says("session.paused", media_time=_NUMBER),
    "session.resumed": _says("session.resumed", media_time=_NUMBER),
    "session.rewound": _says("session.rewound", media_time=_NUMBER, chunk=_WHOLE, epoch=_WHOLE),
    "session.branched": _says("session.branched", take_id=_TEXT, parent=_PARENT, epoch=_WHOLE),
    "session.skipped": _says("session.skipped", **{"from": _NUMBER, "to": _NUMBER}),
    "session.pong": _says("session.pong", nonce=_or_none(_TEXT)),
    "session.stats": _says(
        "session.stats",
        made=_NUMBER,
        playing=_NUMBER,
        lead=_NUMBER,
        allowed_lead=_NUMBER,
        chunk_seconds=_NUMBER,
        speed=_or_none(_NUMBER),
        time_to_first_chunk=_or_none(_NUMBER),
        deadlines_missed=_WHOLE,
        stall_seconds=_NUMBER,
        steer_seconds=_or_none(_NUMBER),
        viewers=_WHOLE,
        pictures=_or_none(_OBJECT),
    ),
    "session.done": _says(
        "session.done",
        take_id=_TEXT,
        reason=_one_of("stopped", "complete", "idle", "lifetime", "failed", "shutdown"),
        chunks=_WHOLE,
        seconds=_NUMBER,
        stopped=_FLAG,
    ),
    "error": _says("error", error=_OBJECT, event_id=_or_none(_TEXT), fatal=_FLAG),
}
"""By type. The tests check every message of a live session against these."""
