"""Puts the server together: routes, live connection, page, documents, guards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from longtake import __version__
from longtake.errors import UserError
from longtake.studio.asyncapi import document
from longtake.studio.config import Config
from longtake.studio.enhancements import Enhancements
from longtake.studio.errors import Reason, Refused
from longtake.studio.exports import Exports
from longtake.studio.guards import guarded
from longtake.studio.guards.access import LIVE_PATH
from longtake.studio.live import Connection
from longtake.studio.routes import enhance, server, takes, uploads, videos
from longtake.studio.routes.common import errors
from longtake.studio.service import Service
from longtake.studio.videos import Videos

WEB = Path(__file__).parent / "web"
"""The page; files are served as they are."""
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_BY_STATUS = {reason.status: reason for reason in reversed(Reason)}


def build(service: Service, config: Config, on_start: Callable[[], None] = lambda: None) -> ASGIApp:
    """The whole server as one ASGI app. on_start: called on the event loop before the first request."""
    queue = Videos(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        on_start()
        making = asyncio.create_task(queue.run())
        try:
            yield
        finally:
            making.cancel()
            await service.close()

    app = FastAPI(
        title="longtake",
        version=__version__,
        description="Takes made live and as jobs. The live connection is described in `/asyncapi.json`.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    exports = Exports(service.library, service.folder / "exports", service.signing)
    app.include_router(server.routes(service))
    app.include_router(videos.routes(service, queue, exports))
    app.include_router(takes.routes(service, exports))
    app.include_router(enhance.routes(service, Enhancements(service, exports, service.folder / "enhanced")))
    app.include_router(uploads.routes(service))
    _add_errors(app)
    _add_live(app, service)
    public = _add_page(app) | OPEN_PATHS
    return guarded(app, config, service.streams, public)


def _add_live(app: FastAPI, service: Service) -> None:
    @app.websocket(LIVE_PATH)
    async def live(socket: WebSocket) -> None:
        await Connection(service, socket).run()

    @app.get("/asyncapi.json", tags=["server"], responses=errors())
    async def asyncapi() -> dict[str, Any]:
        """The messages of the live connection."""
        return document()


def _add_page(app: FastAPI) -> frozenset[str]:
    """Serve the page, if it is there; returns the paths of its files."""
    if not WEB.is_dir():
        return frozenset()
    files = {f"/{path.relative_to(WEB).as_posix()}" for path in WEB.rglob("*") if path.is_file()}
    app.mount("/", StaticFiles(directory=WEB, html=True))
    return frozenset(files | {"/"})


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error.to_dict(), error.reason.status, error.headers())

    @app.exception_handler(UserError)
    async def user_error(_: Request, error: UserError) -> JSONResponse:
        return await refused(_, Refused(Reason.INVALID, str(error)))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])[:200]
        return await refused(_, Refused(Reason.UNPROCESSABLE, f"{place}: {first['msg'][:300]}"))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        reason = _BY_STATUS.get(error.status_code, Reason.INVALID)
        answer = Refused(reason, str(error.detail)[:300])
        headers = {**(error.headers or {}), **answer.headers()}
        return JSONResponse(answer.to_dict(), error.status_code, headers)

    @app.exception_handler(500)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        return await refused(_, Refused(Reason.FAILED, "the server failed over this; the log says more"))
