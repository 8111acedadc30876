"""A real server on a free port, with a tiny random model; and a plain client of its live connection."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from longtake.studio.assembly import assemble, server_of
from longtake.studio.config import Config, Limits
from longtake.studio.service import Service
from longtake.studio.stage import Pace, Stage
from tests.tiny import tiny_pipeline

TOKEN = "a-token-of-the-operator"
PROMPT = "a red sphere rolls"


class TwoLanes(Stage):
    """A stage that always has takes made side by side."""

    def warm(self) -> Pace:
        return replace(super().warm(), lanes=2)


def tiny_stage() -> Stage:
    return TwoLanes([tiny_pipeline()])


@dataclass
class Running:
    """A server that runs in a thread of the test."""

    port: int
    service: Service
    token: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=20)

    def live(self, **options: Any) -> Live:
        headers = options.pop("headers", self.headers)
        address = f"ws://127.0.0.1:{self.port}/v1/realtime/video"
        return Live(connect(address, additional_headers=headers, max_size=None, compression=None, **options))


def pictures(segments: list[bytes]) -> list[bytes]:
    """Segments without their signatures, which hold the time of signing."""
    return [segment[segment.index(b"moof") - 4 :] for segment in segments]


class Live:
    """One connection: says messages, reads messages and the media that follows them."""

    def __init__(self, connecting: Any) -> None:
        self._connecting = connecting
        self.socket: ClientConnection
        self.media: list[bytes] = []

    def __enter__(self) -> Live:
        self.socket = self._connecting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._connecting.__exit__(*error)

    def say(self, type: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": type, **fields}))

    def hear(self, timeout: float = 20) -> dict[str, Any]:
        """The next message; media that belongs to it goes into `media`."""
        text = self.socket.recv(timeout)
        assert isinstance(text, str), "media came without being announced"
        message: dict[str, Any] = json.loads(text)
        if message["type"] == "video.chunk_metadata":
            data = self.socket.recv(timeout)
            assert isinstance(data, bytes)
            assert len(data) == message["byte_length"]
            self.media.append(data)
        return message

    def until(self, type: str, timeout: float = 20, **fields: Any) -> dict[str, Any]:
        """Read on to the first message of a type with these values."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            message = self.hear(timeout)
            if message["type"] == type and all(message.get(key) == value for key, value in fields.items()):
                return message
        raise AssertionError(f"no {type} {fields} came")

    def chunk(self) -> dict[str, Any]:
        return self.until("video.chunk_metadata", kind="media")


@contextmanager
def serve(
    home: Path,
    *,
    tokens: tuple[str, ...] = (),
    load: Callable[[], Stage] = tiny_stage,
    allowed_hosts: tuple[str, ...] = (),
    is_warm: bool = True,
    send_buffer: int | None = None,
    provenance: bool = True,
    **limits: Any,
) -> Iterator[Running]:
    defaults: dict[str, Any] = {"max_takes": 4, "least_lead": 30.0, "most_lead": 30.0}
    config = Config(
        port=0,
        home=home / "takes",
        tokens=tokens,
        allowed_hosts=allowed_hosts,
        provenance=provenance,
        limits=Limits(**defaults | limits),
    )
    assembled = assemble(config, load)
    server = server_of(assembled, config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _wait(lambda: server.started)
    if send_buffer is not None:  # what is accepted later inherits it
        server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        running = Running(port, assembled.service, tokens[0] if tokens else None)
        if is_warm:
            _wait(lambda: running.http().get("/readyz").status_code == 200)
        yield running
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server does not stop"


def _wait(is_so: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


wait_for = _wait
