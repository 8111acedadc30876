"""What the server refuses, and why: one typed error for routes and for the live connection."""

from __future__ import annotations

import enum
import math
from typing import Any


class Reason(enum.Enum):
    """Why something was refused: name on the wire, HTTP status, code that closes a live connection."""

    INVALID = ("invalid_request", 400, 4400)
    UNPROCESSABLE = ("invalid_request", 422, 4400)
    UNAUTHORISED = ("unauthorised", 401, 4401)
    FORBIDDEN = ("forbidden", 403, 4403)
    NOT_FOUND = ("not_found", 404, 4404)
    METHOD = ("method_not_allowed", 405, 4400)
    TIMEOUT = ("timeout", 408, 4408)
    CONFLICT = ("conflict", 409, 4409)
    GONE = ("gone", 410, 4410)
    TOO_LARGE = ("too_large", 413, 4413)
    UNSUPPORTED = ("unsupported_media", 415, 4415)
    MISDIRECTED = ("misdirected", 421, 4421)
    OVER_BUDGET = ("over_budget", 429, 4429)
    FAILED = ("failed", 500, 4500)
    FULL = ("full", 503, 4503)
    NOT_READY = ("not_ready", 503, 4503)

    def __init__(self, kind: str, status: int, close_code: int) -> None:
        self.kind, self.status, self.close_code = kind, status, close_code


class Refused(Exception):
    """A request that is not followed. The message is for the user: no path, no secret, nothing of a decoder's."""

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_after = reason, message, retry_after

    def to_dict(self) -> dict[str, Any]:
        """The one form that errors have."""
        return {
            "error": {"type": self.reason.kind, "message": self.message, "retry_after": self._whole_seconds()}
        }

    def headers(self) -> dict[str, str]:
        """`Retry-After`, where there is one, and how to authenticate."""
        headers = {}
        if (seconds := self._whole_seconds()) is not None:
            headers["Retry-After"] = str(seconds)
        if self.reason is Reason.UNAUTHORISED:
            headers["WWW-Authenticate"] = "Bearer"
        return headers

    def _whole_seconds(self) -> int | None:
        return None if self.retry_after is None else max(1, math.ceil(self.retry_after))
