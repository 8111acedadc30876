"""Bodies have a size and a time: what is longer is cut off at the limit, not kept until its end."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longtake.studio.config import Limits
from longtake.studio.errors import Reason, Refused
from longtake.studio.guards.answer import answer, header, refuse

UPLOAD_PATHS = ("/v1/uploads", "/v1/videos")
_AROUND = 64 * 2**10
"""Bytes of a form around its file."""


class BodyGuard:
    """Refuses a body that says it is too long, and cuts off one that turns out to be, or that takes too long."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most(scope)
        announced = header(scope, "content-length") or "0"
        if not announced.isdecimal() or len(announced) > 15 or int(announced) > most:
            await refuse(scope, send, _too_large(most))
            return
        await _Metered(self._app, most, self._limits.body_seconds).run(scope, receive, send)

    def _most(self, scope: Scope) -> int:
        is_form = (header(scope, "content-type") or "").lower().startswith("multipart/form-data")
        is_upload = scope["path"] in UPLOAD_PATHS and is_form
        return self._limits.upload_bytes + _AROUND if is_upload else self._limits.json_bytes


class _Metered:
    """One request whose body is counted while it comes in."""

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self._app, self._most, self._seconds = app, most, seconds
        self._count = 0
        self._is_whole = self._is_answered = False
        self._refused: Refused | None = None

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = asyncio.get_running_loop().time() + self._seconds

        async def counted() -> Message:
            if self._is_whole:
                return await receive()
            return await self._receive(receive, deadline)

        async def replaced(message: Message) -> None:
            if self._refused is None:
                await send(message)
            else:
                await self._answer(send, self._refused)

        try:
            await self._app(scope, counted, replaced)
        except ClientDisconnect:
            if self._refused is None:
                raise
            await self._answer(send, self._refused)

    async def _answer(self, send: Send, refused: Refused) -> None:
        """Say why, once, in place of whatever the app makes of half a body."""
        if not self._is_answered:
            self._is_answered = True
            for part in answer(refused):
                await send(part)

    async def _receive(self, receive: Receive, deadline: float) -> Message:
        """The next part of the body; a client that went away where it is too long or too late."""
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            self._refused = Refused(Reason.TIMEOUT, "the body did not arrive in time; send it again")
            return {"type": "http.disconnect"}
        self._count += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._count > self._most:
            self._refused = _too_large(self._most)
            return {"type": "http.disconnect"}
        return message


def _too_large(most: int) -> Refused:
    return Refused(Reason.TOO_LARGE, f"the body is too long; this route takes up to {most // 1024} KiB")
