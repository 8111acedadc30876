"""What routes have in common: who asks, ids, and the form of errors in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel

from longtake.studio.guards.access import IDENTITY
from longtake.studio.tokens import Identity

UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Token = Annotated[str | None, Query(max_length=200, description="A stream token, for players.")]
Id = Annotated[str, Path(pattern=UUID, description="Made by the server.")]


class ErrorBody(BaseModel):
    """What went wrong."""

    type: str
    message: str
    retry_after: int | None


class ErrorAnswer(BaseModel):
    """The one form of errors."""

    error: ErrorBody


def identity_of(request: Request) -> Identity:
    """Who asks; the guard has found out."""
    identity: Identity = request.scope[IDENTITY]
    return identity


Who = Annotated[Identity, Depends(identity_of)]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers beside the good one, for the OpenAPI document; those of the guards are in each."""
    always = (400, 401, 403, 405, 408, 413, 421, 422)
    return {status: {"model": ErrorAnswer} for status in sorted({*always, *statuses})}
