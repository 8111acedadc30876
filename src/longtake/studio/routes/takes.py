"""Takes: everything that was made here, its media in every form a player wants, and tokens for links."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from longtake.errors import UserError
from longtake.studio import hls, views
from longtake.studio.errors import Reason, Refused
from longtake.studio.exports import Exports
from longtake.studio.routes.common import UUID, Id, Token, Who, errors
from longtake.studio.service import Service
from longtake.studio.stills import still
from longtake.studio.streams import Stream

Name = Annotated[
    str | None, Query(max_length=40, description="The stream that a playlist names; the newest unless given.")
]
_PLAYLIST = "application/vnd.apple.mpegurl"
_SHORTLY = {"Cache-Control": "private, max-age=10"}


class TokenRequest(BaseModel):
    """What a stream token is for."""

    model_config = ConfigDict(extra="forbid")

    take_id: Annotated[str, Field(pattern=UUID)] | None = None
    scope: Literal["watch", "direct"] = "watch"


def routes(service: Service, exports: Exports) -> APIRouter:
    """Lists and details, then media."""
    router = APIRouter(tags=["takes"])
    _add_lists(router, service)
    _add_media(router, service, exports)
    _add_segments(router, service)

    @router.post("/v1/tokens", status_code=201, responses=errors(404))
    async def mint(asked: TokenRequest, who: Who) -> dict[str, Any]:
        """A token for the links or the connection of one take, for a few minutes."""
        if asked.take_id is not None:
            await asyncio.to_thread(service.record, asked.take_id)
        elif asked.scope == "watch":
            raise Refused(
                Reason.INVALID, "take_id: give the take to watch, or the scope direct for a new one"
            )
        seconds = service.streams.seconds
        return {
            "token": service.streams.mint(who.who, asked.take_id, asked.scope),
            "take_id": asked.take_id,
            "scope": asked.scope,
            "expires_at": round(time.time() + seconds),
            "expires_in": round(seconds),
        }

    return router


def _add_lists(router: APIRouter, service: Service) -> None:
    @router.get("/v1/takes", responses=errors(404))
    def list_takes(
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: Annotated[str | None, Query(pattern=UUID)] = None,
    ) -> dict[str, Any]:
        """Takes, newest first."""
        records = service.library.list()
        children = views.children_of(records)
        start = 0
        if after is not None:
            ids = [record.id for record in records]
            if after not in ids:
                raise Refused(Reason.NOT_FOUND, "after: no such take")
            start = ids.index(after) + 1
        page = records[start : start + limit]
        data = [views.summary(record, children.get(record.id, ()), service.screenings) for record in page]
        return {"object": "list", "data": data, "has_more": start + limit < len(records)}

    @router.get("/v1/takes/{id}", responses=errors(404))
    def look(id: Id) -> dict[str, Any]:
        """All that is known of one take."""
        record, children = service.record(id), views.children_of(service.library.list())
        try:
            return views.detail(service.library, record, children.get(id, ()), service.screenings)
        except UserError:
            raise Refused(Reason.CONFLICT, "the take's journal is damaged") from None

    @router.get("/v1/takes/{id}/tree", responses=errors(404))
    def tree(id: Id) -> dict[str, Any]:
        """The family of a take: where it branched from, and what branched from it."""
        service.record(id)
        return views.tree(service.library.list(), id)

    @router.delete("/v1/takes/{id}", status_code=204, response_class=Response, responses=errors(404, 409))
    def remove(id: Id) -> Response:
        """Remove a take and its media."""
        service.record(id)
        if service.running(id) is not None:
            raise Refused(Reason.CONFLICT, "the take is being made; stop it first")
        try:
            service.library.delete(id)
        except UserError:
            raise Refused(Reason.CONFLICT, "another process is making the take; stop it first") from None
        return Response(status_code=204)


def _add_media(router: APIRouter, service: Service, exports: Exports) -> None:
    @router.get(
        "/v1/takes/{id}/thumbnail",
        response_class=Response,
        responses=errors(404, 410) | {200: {"content": {"image/jpeg": {}}}},
    )
    def thumbnail(
        id: Id,
        at: Annotated[float | None, Query(ge=0, le=1e9, allow_inf_nan=False)] = None,
        token: Token = None,
    ) -> Response:
        """The picture on screen at a media second."""
        record = service.record(id)
        data = still(service.library, id, record.fps, at)
        return Response(data, media_type="image/jpeg", headers=_SHORTLY)

    @router.get(
        "/v1/takes/{id}/content",
        response_class=FileResponse,
        responses=errors(404, 410, 416)
        | {200: {"content": {"video/mp4": {}}}, 206: {"description": "A part."}},
    )
    def content(id: Id, download: bool = False, token: Token = None) -> FileResponse:
        """All that is made, as one MP4."""
        return serve_file(exports.file(service.record(id)), id, download=download)


def serve_file(path: Path, id: str, *, download: bool) -> FileResponse:
    """An MP4 with ranges, to play or to keep."""
    kind: Literal["attachment", "inline"] = "attachment" if download else "inline"
    return FileResponse(
        path, media_type="video/mp4", filename=f"take-{id[:8]}.mp4", content_disposition_type=kind
    )


def _add_segments(router: APIRouter, service: Service) -> None:
    @router.get(
        "/v1/takes/{id}/stream.m3u8",
        response_class=Response,
        responses=errors(404) | {200: {"content": {_PLAYLIST: {}}}},
    )
    def stream(id: Id, request: Request, token: Token = None) -> Response:
        """HLS playlist; it grows while the take is live."""
        record = service.record(id)
        with service.library.media(id) as media:
            segments, name = media.segments(), service.stream_of(record, media).id
        is_over = service.running(id) is None
        text = hls.playlist(segments, record.fps, is_over=is_over, query=hls.query(token=token, stream=name))
        return Response(text, media_type=_PLAYLIST)

    @router.get(
        "/v1/takes/{id}/init.mp4",
        response_class=Response,
        responses=errors(404, 410) | {200: {"content": {"video/mp4": {}}}},
    )
    def init(id: Id, stream: Name = None, token: Token = None) -> Response:
        """The head of the take's stream."""
        record = service.record(id)
        with service.library.media(id) as media:
            return Response(_same(service.stream_of(record, media), stream).head, media_type="video/mp4")

    @router.get(
        "/v1/takes/{id}/segments/{index}.m4s",
        response_class=Response,
        responses=errors(404, 410) | {200: {"content": {"video/iso.segment": {}}}},
    )
    def segment(
        id: Id,
        index: Annotated[int, Field(ge=0, le=10**9)],
        stream: Name = None,
        token: Token = None,
    ) -> Response:
        """One chunk of the take's stream."""
        record = service.record(id)
        with service.library.media(id) as media:
            if not any(one.index == index for one in media.segments(index)):
                raise Refused(Reason.NOT_FOUND, "no such segment")
            wanted = _same(service.stream_of(record, media), stream)
            try:
                data = media.read(index)
            except UserError:
                raise Refused(Reason.GONE, "the segment is not kept any more") from None
            _same(service.stream_of(record, media), wanted.id)  # it may have been rewound meanwhile
        return Response(wanted.sign(data), media_type="video/iso.segment")


def _same(stream: Stream, asked: str | None) -> Stream:
    """The stream, if it is still the one that was asked for. Raises Refused when it is another."""
    if asked is not None and asked != stream.id:
        raise Refused(Reason.GONE, "the stream has begun anew; load the playlist again")
    return stream
