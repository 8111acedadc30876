"""The socket of one live connection: messages with a deadline, media with its announcement, a running epoch."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from longtake.studio.config import Limits
from longtake.studio.telemetry import Metrics
from longtake.studio.viewers import Parcel

NORMAL = 1000


class Wire:
    """Sends one thing at a time; TimeoutError when the other side takes nothing."""

    def __init__(self, socket: WebSocket, limits: Limits, metrics: Metrics) -> None:
        self._socket, self._limits, self._metrics = socket, limits, metrics
        self._transport = 0
        self.epoch = 0
        """What is added to the epoch of the take that is shown."""

    async def receive(self) -> str | bytes:
        """The next message. Raises WebSocketDisconnect."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NORMAL))
        data: str | bytes | None = message.get("bytes")
        return message["text"] if data is None else data

    async def say(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        async with asyncio.timeout(self._limits.send_seconds):
            await self._socket.send_text(json.dumps(message, separators=(",", ":")))

    async def deliver(self, parcel: Parcel) -> None:
        """Send what waits for a viewer: a message, and its media."""
        message = dict(parcel.message)
        if "epoch" in message:
            message["epoch"] += self.epoch
        if parcel.media is None:
            await self.say(message)
            return
        message["transport_chunk_index"] = self._transport
        self._transport += 1
        await self.say(message)
        async with asyncio.timeout(self._limits.send_seconds):
            await self._socket.send_bytes(parcel.media)
        if parcel.ready_at is not None:
            self._metrics.delivery.observe(time.monotonic() - parcel.ready_at)

    async def close(self, code: int = NORMAL) -> None:
        """Say goodbye."""
        async with asyncio.timeout(self._limits.send_seconds):
            await self._socket.close(code)
