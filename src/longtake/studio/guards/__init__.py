"""What stands before every request and every upgrade, as plain ASGI: nothing of a body is read before it has passed.

In order: headers of every answer, `Host`, `Origin`, token, size and time of the body.
"""

from __future__ import annotations

from starlette.types import ASGIApp

from longtake.studio.config import Config
from longtake.studio.guards.access import AccessGuard
from longtake.studio.guards.body import BodyGuard
from longtake.studio.guards.headers import SafeHeaders
from longtake.studio.guards.host import HostGuard
from longtake.studio.guards.origin import OriginGuard
from longtake.studio.tokens import OperatorTokens, StreamTokens

__all__ = ["guarded"]


def guarded(app: ASGIApp, config: Config, streams: StreamTokens, public: frozenset[str]) -> ASGIApp:
    """The app behind all guards. public: paths that need no token."""
    app = BodyGuard(app, config.limits)
    app = AccessGuard(app, OperatorTokens(config.tokens), streams, public)
    app = OriginGuard(app)
    app = HostGuard(app, config)
    return SafeHeaders(app, is_https=config.certfile is not None)
