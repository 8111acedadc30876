"""The `Host` of every request and upgrade has to be ours: a name that was made to point here (DNS rebinding) is not."""

from __future__ import annotations

import ipaddress
import re

from starlette.types import ASGIApp, Receive, Scope, Send

from longtake.studio.config import Config, is_loopback
from longtake.studio.errors import Reason, Refused
from longtake.studio.guards.answer import header, refuse

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?", re.ASCII)


class HostGuard:
    """Lets through loopback, the address that the server listens on and what the operator allowed.

    A server for others also answers to any address in figures: rebinding needs a name.
    """

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._takes_addresses = not config.is_loopback
        named = () if config.is_anywhere else (config.host,)
        self._names = frozenset(
            name.lower().strip("[]").rstrip(".") for name in (*config.allowed_hosts, *named)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self.allows(header(scope, "host")):
            refused = Refused(
                Reason.MISDIRECTED, "this server does not go by that name; the operator may allow it"
            )
            await refuse(scope, send, refused)
            return
        await self._app(scope, receive, send)

    def allows(self, host: str | None) -> bool:
        """Whether the value of a `Host` header is ours."""
        match = _HOST.fullmatch(host or "")
        if match is None:
            return False
        name = match[1].lower().strip("[]").rstrip(".")
        return name in self._names or is_loopback(name) or (self._takes_addresses and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
