"""The AsyncAPI document of the live connection."""

from __future__ import annotations

from functools import cache
from typing import Any

from longtake import __version__
from longtake.studio.guards.access import LIVE_PATH, PROTOCOL, TOKEN_PROTOCOL
from longtake.studio.protocol import CLIENT
from longtake.studio.replies import REPLIES


@cache
def document() -> dict[str, Any]:
    """AsyncAPI 3.0: what clients may send (checked against these very schemas) and what the server says."""
    sent = _sent()
    messages = {**sent, **{name: _message(name, schema) for name, schema in REPLIES.items()}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "longtake live",
            "version": __version__,
            "description": "One take on one connection, in the dialect of vLLM-Omni's realtime video. Media follows "
            "its announcement as one binary message; pictures of a live source go the other way.",
        },
        "channels": {
            "live": {
                "address": LIVE_PATH,
                "description": f"Sub-protocol {PROTOCOL}; browsers add {TOKEN_PROTOCOL}TOKEN.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "hear": _operation("receive", sent),
            "say": _operation("send", REPLIES),
        },
        "components": {"messages": messages, "schemas": _definitions()},
    }


def _operation(action: str, names: Any) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/live"},
        "messages": [{"$ref": f"#/channels/live/messages/{name}"} for name in names],
    }


def _message(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "contentType": "application/json", "payload": payload}


def _schema() -> dict[str, Any]:
    return CLIENT.json_schema(ref_template="#/components/schemas/{model}")


def _definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = _schema()["$defs"]
    return definitions


def _sent() -> dict[str, dict[str, Any]]:
    mapping = _schema()["discriminator"]["mapping"]
    return {name: _message(name, {"$ref": reference}) for name, reference in mapping.items()}
