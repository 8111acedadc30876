"""Tokens: those of the operator, and short-lived ones that open the links and the connection of one take."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from longtake.studio.errors import Reason, Refused

Scope = Literal["watch", "direct"]
LOCAL = "local"
"""Who asks where no token is needed."""
MOST_TOKENS = 10_000
"""Stream tokens that are remembered; the oldest go first."""


@dataclass(kw_only=True, slots=True)
class Identity:
    """Who asks, and for what."""

    who: str
    """A name for the token that may be logged."""
    grant: StreamToken | None = None
    """What the request is limited to; None: everything."""


@dataclass(kw_only=True, slots=True)
class StreamToken:
    """What a short-lived token allows."""

    who: str
    """Whose share it uses."""
    take_id: str | None
    """The take; None until the one that it may begin is there."""
    scope: Scope
    """`watch`: look. `direct`: steer too."""
    expires: float
    """When it ends, on the clock of its `StreamTokens`."""

    def check_take(self, take_id: str) -> None:
        """Raises Refused (403) for another take."""
        if self.take_id != take_id:
            raise Refused(Reason.FORBIDDEN, "the stream token is for another take; ask for one for this take")


class OperatorTokens:
    """Who may use the server. Compared in constant time, all of them each time."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self._digests = tuple(_digest(token) for token in tokens)

    @property
    def are_needed(self) -> bool:
        """Whether a token is asked for at all."""
        return bool(self._digests)

    def identify(self, token: str) -> str | None:
        """A name for the token; None when it is not one of them."""
        given, found = _digest(token), None
        for digest in self._digests:
            if hmac.compare_digest(given, digest):
                found = digest.hex()[:8]
        return found


class StreamTokens:
    """The stream tokens of one server process. Only their digests are kept."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self.seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[bytes, StreamToken] = {}

    def mint(self, who: str, take_id: str | None, scope: Scope) -> str:
        """A token for one take; without `take_id` for one that it may begin."""
        token = secrets.token_urlsafe(32)
        grant = StreamToken(who=who, take_id=take_id, scope=scope, expires=self._clock() + self.seconds)
        with self._lock:
            self._forget_old()
            self._known[_digest(token)] = grant
        return token

    def find(self, token: str) -> StreamToken | None:
        """What a token allows; None when it is unknown or over."""
        with self._lock:
            grant = self._known.get(_digest(token))
        return grant if grant is not None and self._clock() < grant.expires else None

    def _forget_old(self) -> None:
        now = self._clock()
        self._known = {key: grant for key, grant in self._known.items() if now < grant.expires}
        while len(self._known) >= MOST_TOKENS:
            self._known.pop(next(iter(self._known)))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
