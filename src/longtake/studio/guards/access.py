"""Who asks. A token is looked at before anything of the body is read, and never travels into a log."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from longtake.studio.errors import Reason, Refused
from longtake.studio.guards.answer import header, refuse
from longtake.studio.tokens import LOCAL, Identity, OperatorTokens, StreamTokens

IDENTITY = "longtake.identity"
"""Key in the ASGI scope under which routes find an `Identity`."""
PROTOCOL = "longtake.v1"
"""Sub-protocol of the live connection."""
TOKEN_PROTOCOL = "longtake.token."
"""Begins the sub-protocol that carries a browser's stream token."""
LIVE_PATH = "/v1/realtime/video"

_MEDIA = re.compile(
    r"/v1/takes/([0-9a-f-]{36})/(?:thumbnail|content|enhanced|stream\.m3u8|init\.mp4|segments/\d{1,9}\.m4s)",
    re.ASCII,
)


class AccessGuard:
    """Lets through who has a token; without tokens everybody who reaches loopback.

    public: paths that need none. A stream token opens the media links of its take and the live connection.
    """

    def __init__(
        self, app: ASGIApp, operator: OperatorTokens, streams: StreamTokens, public: frozenset[str]
    ) -> None:
        self._app, self._operator, self._streams, self._public = app, operator, streams, public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        identity = self._identify(scope)
        if identity is None:
            wrong = "token missing, wrong or expired; send `Authorization: Bearer TOKEN`"
            await refuse(scope, send, Refused(Reason.UNAUTHORISED, wrong))
            return
        await self._app({**scope, IDENTITY: identity}, receive, send)

    def _identify(self, scope: Scope) -> Identity | None:
        if not self._operator.are_needed or self._is_public(scope):
            return Identity(who=LOCAL)
        bearer = _bearer(scope)
        if bearer is not None:
            who = self._operator.identify(bearer)
            return None if who is None else Identity(who=who)
        return self._by_stream_token(scope)

    def _is_public(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in self._public
        )

    def _by_stream_token(self, scope: Scope) -> Identity | None:
        """Who asks by a link or a browser's connection."""
        token = _from_protocols(scope) if scope["type"] == "websocket" else _from_query(scope)
        grant = None if token is None else self._streams.find(token)
        if grant is None:
            return None
        if scope["type"] == "websocket":
            return Identity(who=grant.who, grant=grant) if scope["path"] == LIVE_PATH else None
        match = _MEDIA.fullmatch(scope["path"])
        is_for_it = match is not None and match[1] == grant.take_id and scope["method"] in ("GET", "HEAD")
        return Identity(who=grant.who, grant=grant) if is_for_it else None


def _bearer(scope: Scope) -> str | None:
    scheme, _, token = (header(scope, "authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _from_protocols(scope: Scope) -> str | None:
    given = [name for name in scope.get("subprotocols", ()) if name.startswith(TOKEN_PROTOCOL)]
    return given[0].removeprefix(TOKEN_PROTOCOL) if len(given) == 1 else None


def _from_query(scope: Scope) -> str | None:
    try:
        given = parse_qs(scope["query_string"].decode("ascii"), max_num_fields=16).get("token", [])
    except ValueError:
        return None
    return given[0] if len(given) == 1 else None
