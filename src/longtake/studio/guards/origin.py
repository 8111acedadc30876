"""A write or an upgrade that another site sent through somebody's browser is refused.

Browsers say so in `Origin` and `Sec-Fetch-Site`; a client that sends neither, such as curl, is no browser.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from longtake.studio.errors import Reason, Refused
from longtake.studio.guards.answer import has_header, header, refuse

_READS = ("GET", "HEAD", "OPTIONS")
_OURS = ("same-origin", "none")


class OriginGuard:
    """Stands before writes and upgrades."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] in _READS
        if scope["type"] in ("http", "websocket") and not is_read and _is_foreign(scope):
            await refuse(
                scope, send, Refused(Reason.FORBIDDEN, "another site sent this; use the page of this server")
            )
            return
        await self._app(scope, receive, send)


def _is_foreign(scope: Scope) -> bool:
    if has_header(scope, "sec-fetch-site") and header(scope, "sec-fetch-site") not in _OURS:
        return True
    return has_header(scope, "origin") and not _is_same(header(scope, "origin"), header(scope, "host"))


def _is_same(origin: str | None, host: str | None) -> bool:
    """Whether an origin is the host that was asked; a port that the scheme implies may be left out."""
    if origin is None or host is None:
        return False
    try:
        parts, asked = urlsplit(origin), urlsplit(f"//{host}")
        implied = {"http": 80, "https": 443}.get(parts.scheme)
        same_port = (parts.port or implied) == (asked.port or implied)
    except ValueError:
        return False
    return implied is not None and parts.hostname == asked.hostname and same_port
