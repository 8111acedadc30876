"""Videos as jobs, in the shape of OpenAI's API."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from longtake.journal import Status
from longtake.studio.errors import Reason, Refused
from longtake.studio.exports import Exports
from longtake.studio.orders import Branch
from longtake.studio.protocol import Prompt
from longtake.studio.routes.common import UUID, Id, Token, Who, errors
from longtake.studio.routes.takes import serve_file
from longtake.studio.service import Service
from longtake.studio.starting import check_prompts
from longtake.studio.video_request import VideoRequest, openapi_body, read_request, to_order
from longtake.studio.videos import Videos


class RemixRequest(BaseModel):
    """What is to be different."""

    model_config = ConfigDict(extra="forbid")

    prompt: Prompt


class Video(BaseModel):
    """A video."""

    id: str
    object: Literal["video"]
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: Annotated[int, Field(ge=0, le=100)]
    model: str
    prompt: str
    seconds: str
    size: str
    seed: int
    created_at: int
    completed_at: int | None
    expires_at: int | None
    error: dict[str, str] | None
    remixed_from_video_id: str | None


def routes(service: Service, videos: Videos, exports: Exports) -> APIRouter:
    """Create, list, look, fetch, remove, remix."""
    router = APIRouter(prefix="/v1/videos", tags=["videos"])
    _add_making(router, service, videos)
    _add_looking(router, service, videos, exports)
    return router


def _add_making(router: APIRouter, service: Service, videos: Videos) -> None:
    @router.post(
        "",
        status_code=201,
        response_model=Video,
        responses=errors(404, 415, 429, 503),
        openapi_extra=openapi_body(),
    )
    async def create(request: Request, who: Who) -> dict[str, Any]:
        """Ask for a video: a form (with a file, if you like) or JSON."""
        service.check_ready()
        asked: VideoRequest = await read_request(request, service)
        id = await videos.add(to_order(asked, service), who)
        return await asyncio.to_thread(videos.describe, videos.get(id))

    @router.post("/{id}/remix", status_code=201, response_model=Video, responses=errors(404, 409, 429, 503))
    async def remix(id: Id, asked: RemixRequest, who: Who) -> dict[str, Any]:
        """The same again under another prompt."""
        videos.get(id)
        check_prompts([asked.prompt], service.limits)
        new = await videos.add(Branch(take_id=id, at=0.0, prompt=asked.prompt), who, remixed_from=id)
        return await asyncio.to_thread(videos.describe, videos.get(new))


def _add_looking(router: APIRouter, service: Service, videos: Videos, exports: Exports) -> None:
    @router.get("", responses=errors(404))
    def list_videos(
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: Annotated[str | None, Query(pattern=UUID)] = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> dict[str, Any]:
        """Videos, newest first unless asked otherwise."""
        notes = videos.newest_first()[:: 1 if order == "desc" else -1]
        start = 0
        if after is not None:
            start = [note.id for note in notes].index(videos.get(after).id) + 1
        data = [videos.describe(note) for note in notes[start : start + limit]]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": start + limit < len(notes),
        }

    @router.get("/{id}", response_model=Video, responses=errors(404))
    def look(id: Id) -> dict[str, Any]:
        """How a video stands."""
        return videos.describe(videos.get(id))

    @router.get(
        "/{id}/content",
        response_class=FileResponse,
        responses=errors(404, 409, 410, 416)
        | {200: {"content": {"video/mp4": {}}}, 206: {"description": "A part."}},
    )
    def content(id: Id, download: bool = False, token: Token = None) -> FileResponse:
        """The MP4 of a video that is complete."""
        note = videos.get(id)
        record = service.record(id)
        if record.status is not Status.FINISHED or videos.status(note, record) != "completed":
            raise Refused(Reason.CONFLICT, "the video is not complete; ask for its status")
        return serve_file(exports.file(record), id, download=download)

    @router.delete("/{id}", responses=errors(404, 409))
    async def remove(id: Id) -> dict[str, Any]:
        """End a video if it runs, and remove it."""
        await videos.delete(id)
        return {"id": id, "object": "video.deleted", "deleted": True}
