"""Answers that guards give by themselves, to requests and to upgrades."""

from __future__ import annotations

import json

from starlette.datastructures import Headers
from starlette.types import Message, Scope, Send

from longtake.studio.errors import Refused


def header(scope: Scope, name: str) -> str | None:
    """A header of the request; None when it is missing. Several of one name are not told apart from none."""
    values = Headers(scope=scope).getlist(name)
    return values[0] if len(values) == 1 else None


def has_header(scope: Scope, name: str) -> bool:
    """Whether a header was sent at all."""
    return name in Headers(scope=scope)


async def refuse(scope: Scope, send: Send, refused: Refused) -> None:
    """Answer with the error; an upgrade is refused by an HTTP answer where the server can, otherwise closed."""
    prefix = "http.response"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": refused.reason.close_code})
            return
        prefix = "websocket.http.response"
    for message in answer(refused, prefix):
        await send(message)


def answer(refused: Refused, prefix: str = "http.response") -> tuple[Message, Message]:
    """The two messages of an error's answer."""
    body = json.dumps(refused.to_dict()).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refused.headers()}
    start = {
        "type": f"{prefix}.start",
        "status": refused.reason.status,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    return start, {"type": f"{prefix}.body", "body": body}
