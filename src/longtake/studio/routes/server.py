"""About the server itself: health, figures, models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from longtake import __version__
from longtake.studio.routes.common import errors
from longtake.studio.service import Service


def routes(service: Service) -> APIRouter:
    """Health, figures, status, models."""
    router = APIRouter(tags=["server"])

    @router.get("/healthz", responses=errors())
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @router.get("/readyz", responses=errors(503))
    async def readyz() -> dict[str, str]:
        """Whether models are loaded and warm."""
        service.check_ready()
        return {"status": "ready"}

    @router.get(
        "/metrics", response_class=Response, responses=errors() | {200: {"content": {"text/plain": {}}}}
    )
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/v1/status", responses=errors())
    async def status() -> dict[str, Any]:
        """Room, limits, and whether a token is needed."""
        return _status(service)

    @router.get("/v1/models", responses=errors(503))
    async def models() -> dict[str, Any]:
        """Models that are served, the default first."""
        service.check_ready()
        return {"object": "list", "data": [*service.worker.models.values()]}

    return router


def _status(service: Service) -> dict[str, Any]:
    admission, limits = service.admission, service.limits
    return {
        "version": __version__,
        "ready": service.worker.is_ready,
        "auth": "token" if service.config.tokens else "none",
        "capacity": {
            "takes": admission.takes,
            "running": admission.running,
            "queued_videos": admission.queued,
        },
        "limits": {
            "viewers_a_take": limits.viewers_a_take,
            "idle_seconds": limits.idle_seconds,
            "lifetime_seconds": limits.lifetime_seconds,
            "upload_bytes": limits.upload_bytes,
            "picture_bytes": limits.picture_bytes,
            "prompt_characters": limits.prompt_characters,
        },
        "provenance": service.signing.is_on,
    }
