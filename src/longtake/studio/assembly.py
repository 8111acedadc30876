"""From a configuration to a server that can run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from longtake.journal import Library
from longtake.studio.admission import Admission
from longtake.studio.app import build
from longtake.studio.config import Config
from longtake.studio.service import Service
from longtake.studio.stage import Stage
from longtake.studio.thread_worker import ThreadWorker

_GOODBYE_SECONDS = 5
_FRAME = 1024
"""Bytes that a message on the live connection may have beyond its limit, so that it can be refused in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembled:
    """A server, not yet running."""

    app: ASGIApp
    """What uvicorn runs."""
    service: Service
    """What is behind it."""


def assemble(
    config: Config,
    load: Callable[[], Stage] | None = None,
    on_broken: Callable[[Exception], None] = lambda failure: None,
) -> Assembled:
    """Put a server together.

    load: opens the models, in the worker's thread; those that the configuration names unless given. on_broken: told
    when none can be opened.
    """
    library, admission = Library(config.home), Admission(config.limits, time.monotonic)
    worker = ThreadWorker(
        load or (lambda: Stage.load(config.models)),
        library,
        config.limits,
        on_ready=admission.measured,
        on_broken=on_broken,
    )
    service = Service(config, library, worker, admission)
    return Assembled(app=build(service, config, worker.start), service=service)


def server_of(assembled: Assembled, config: Config) -> uvicorn.Server:
    """An HTTP server for it. Addresses of clients are not taken from headers, and nothing is logged of a request."""
    logging.getLogger("uvicorn.access").disabled = True  # its lines hold the tokens of links
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # below are addresses of connections
    limits = config.limits
    settings = uvicorn.Config(
        assembled.app,
        host=config.host,
        port=config.port,
        ssl_certfile=None if config.certfile is None else str(config.certfile),
        ssl_keyfile=None if config.keyfile is None else str(config.keyfile),
        ws_max_size=max(limits.message_bytes, limits.picture_bytes) + _FRAME,
        ws_max_queue=8,
        ws_per_message_deflate=False,
        limit_concurrency=2 * limits.connections + 64,
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    return uvicorn.Server(settings)
