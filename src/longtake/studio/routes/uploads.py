"""Uploads: pictures and videos that takes are made from."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response, UploadFile

from longtake.studio.routes.common import Id, errors
from longtake.studio.service import Service


def routes(service: Service) -> APIRouter:
    """Send, look at, remove."""
    router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

    @router.post("", status_code=201, responses=errors(415, 503))
    async def send(file: UploadFile) -> dict[str, Any]:
        """Send one picture or video."""
        return service.uploads.to_dict(await service.uploads.add(file.file))

    @router.get("/{id}", responses=errors(404))
    async def look(id: Id) -> dict[str, Any]:
        """What an upload is."""
        return service.uploads.to_dict(service.uploads.get(id))

    @router.delete("/{id}", status_code=204, response_class=Response, responses=errors(404))
    async def remove(id: Id) -> Response:
        """Remove an upload."""
        service.uploads.delete(id)
        return Response(status_code=204)

    return router
