"""Viewers of live takes, each a thread: those that watch, and those that make trouble."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from longtake.studio.bench.player import Player
from longtake.studio.bench.process import ServerProcess

_TELL_SECONDS = 0.5
"""Between two words of what is on screen."""
_GONE = (WebSocketException, OSError)


class Watcher(threading.Thread):
    """Watches a take until it is stopped. start: the fields of its `session.start`.

    is_greedy: it says that it has seen whatever it got, so that the next chunk is made at once.
    """

    def __init__(self, server: ServerProcess, start: Mapping[str, Any], *, is_greedy: bool = False) -> None:
        super().__init__(daemon=True)
        self._is_greedy = is_greedy
        self._server, self._start = server, {"type": "session.start", **start}
        self._stopping = threading.Event()
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self.player = Player()
        self.take_id = ""
        self.failure = ""
        """Why it ended before it was stopped."""
        self.compute: list[float] = []
        """Seconds of the machine that each chunk cost."""
        self.arrivals: list[float] = []
        """When each chunk came."""

    def watch(self) -> str:
        """Begin; returns the take's id once it plays."""
        self.start()
        if not self._opened.wait(60) or self.failure:
            raise RuntimeError(self.failure or "no chunk came")
        return self.take_id

    def stop(self) -> None:
        """Hang up."""
        self._stopping.set()
        self.join(30)

    def reset(self) -> None:
        """Count anew from now on; the player goes on."""
        with self._lock:
            self.player.chunks = self.player.late = 0
            self.player.stall_seconds = 0.0
            self.compute, self.arrivals = [], []

    def run(self) -> None:
        """See `watch`."""
        try:
            headers = self._server.headers
            with connect(
                self._server.live_address, additional_headers=headers, max_size=None, compression=None
            ) as wire:
                wire.send(json.dumps(self._start))
                self._follow(wire)
        except _GONE as gone:
            self.failure = f"the connection broke: {gone}"
        self._opened.set()

    def _follow(self, wire: ClientConnection) -> None:
        told = time.monotonic()
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                self._hear(wire, wire.recv(timeout=_TELL_SECONDS))
            now = time.monotonic()
            if now - told >= _TELL_SECONDS:
                told = now
                if not self._is_greedy:
                    self._tell(wire, self.player.position(now))

    def _tell(self, wire: ClientConnection, media_time: float) -> None:
        wire.send(json.dumps({"type": "session.playback", "media_time": media_time, "is_playing": True}))

    def _hear(self, wire: ClientConnection, data: str | bytes) -> None:
        if isinstance(data, bytes):
            return
        message = json.loads(data)
        match message["type"]:
            case "video.start":
                self.take_id, self._fps = message["take_id"], message["config"]["fps"]
            case "video.chunk_metadata" if message["kind"] == "media":
                wire.recv()
                with self._lock:
                    now = time.monotonic()
                    self.arrivals.append(now)
                    seconds = message["num_frames"] / self._fps
                    self.player.came(now, message["media_time"], seconds)
                if self._is_greedy:
                    self._tell(wire, message["media_time"] + seconds)
                self._opened.set()
            case "session.stats":
                with self._lock:
                    self.compute.append(message["chunk_seconds"])
            case "session.skipped":
                self.player.skipped()
            case "error":
                self.failure = message["error"]["message"]
                self._opened.set()
            case "session.done":
                self.failure = self.failure or f"the take ended: {message['reason']}"
                self._stopping.set()


class Nuisance(Protocol):
    """What a viewer that makes trouble does, over and over."""

    def __call__(self, server: ServerProcess, take_id: str, stopping: threading.Event) -> None: ...


class Troublemaker(threading.Thread):
    """Does something over and over until it is stopped."""

    def __init__(self, server: ServerProcess, take_id: str, nuisance: Nuisance) -> None:
        super().__init__(daemon=True)
        self._server, self._take_id, self._nuisance = server, take_id, nuisance
        self._stopping = threading.Event()

    def run(self) -> None:
        """Until it is stopped, whatever the server makes of it."""
        while not self._stopping.is_set():
            with suppress(*_GONE, EOFError):
                self._nuisance(self._server, self._take_id, self._stopping)
            self._stopping.wait(0.5)

    def stop(self) -> None:
        """No more."""
        self._stopping.set()
        self.join(60)


def stalls(server: ServerProcess, take_id: str, stopping: threading.Event) -> None:
    """Connects, and reads nothing, until it is let go."""
    with _joined(server, take_id, receive=2048) as wire:
        while not stopping.wait(0.5) and _is_open(wire):
            pass
        _abort(wire)


def vanishes(server: ServerProcess, take_id: str, stopping: threading.Event) -> None:
    """Connects, reads a little, and is gone without a word."""
    with _joined(server, take_id) as wire:
        for _ in range(3):
            wire.recv(timeout=5)
        _abort(wire)


def raves(server: ServerProcess, take_id: str, stopping: threading.Event) -> None:
    """Sends what is no message, twenty a second."""
    dice = random.Random(0)
    with _joined(server, take_id) as wire:
        while not stopping.wait(0.05):
            size = dice.randrange(1, 2000)
            junk: bytes | str = dice.randbytes(size) if dice.random() < 0.5 else "{" * size
            wire.send(junk)
            with suppress(TimeoutError):
                while True:
                    wire.recv(timeout=0)


def _joined(server: ServerProcess, take_id: str, receive: int | None = None) -> ClientConnection:
    """A connection that watches a take; receive: bytes of its receive buffer."""
    place = urlsplit(server.address)
    raw = socket.socket()
    if receive is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    raw.connect((place.hostname, place.port))
    connecting = connect(
        server.live_address,
        sock=raw,
        additional_headers=server.headers,
        max_size=None,
        max_queue=1 if receive else 16,
        compression=None,
        ping_interval=None,  # one that does not read would hang up by itself
        close_timeout=0.2,
    )
    wire: ClientConnection = connecting.__enter__()
    wire.send(json.dumps({"type": "session.start", "take_id": take_id, "role": "watch"}))
    return wire


def _abort(wire: ClientConnection) -> None:
    """Hang up without a word: the other side gets a reset."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.close()


def _is_open(wire: ClientConnection) -> bool:
    return wire.protocol.state.name == "OPEN"
