"""A take made larger and cleaner on request."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

from longtake.studio.enhancements import Enhancements
from longtake.studio.routes.common import Id, Token, Who, errors
from longtake.studio.routes.takes import serve_file
from longtake.studio.service import Service


def routes(service: Service, enhancements: Enhancements) -> APIRouter:
    """Ask, look, fetch."""
    router = APIRouter(tags=["takes"])

    @router.post("/v1/takes/{id}/enhance", status_code=202, responses=errors(404, 409, 410, 429, 503))
    async def enhance(id: Id, who: Who) -> dict[str, Any]:
        """Begin to make all that is made of a take larger and cleaner, with what live takes leave of the machine."""
        record = await asyncio.to_thread(service.record, id)
        return (await enhancements.start(record, who.who)).to_dict()

    @router.get("/v1/takes/{id}/enhance", responses=errors(404))
    async def look(id: Id) -> dict[str, Any]:
        """How far it is."""
        return enhancements.get(id).to_dict()

    @router.get(
        "/v1/takes/{id}/enhanced",
        response_class=FileResponse,
        responses=errors(404, 409, 416)
        | {200: {"content": {"video/mp4": {}}}, 206: {"description": "A part."}},
    )
    async def enhanced(id: Id, download: bool = False, token: Token = None) -> FileResponse:
        """The larger video, as one MP4."""
        return serve_file(enhancements.file(id), id, download=download)

    return router
