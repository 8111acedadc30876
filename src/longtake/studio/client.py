"""A client in Python: ask for videos, watch and steer live takes.

client = Client("http://127.0.0.1:8000")
with client.live("a red sphere rolls to the right on a wooden floor", seed=7) as take:
    for piece in take:                       # an independent piece of fragmented MP4
        file.write(piece.segment)            # after file.write(take.init)
        if piece.media_time > 4:
            take.steer("a blue sphere rolls to the right on a wooden floor")
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from longtake.errors import UserError

_OVER = ("completed", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A chunk of a live take."""

    index: int
    """Number of the chunk."""
    media_time: float
    """Media second where it starts."""
    segment: bytes
    """`moof mdat`."""
    message: Mapping[str, Any]
    """All that the server said of it."""


class Client:
    """A server's REST routes, and its live connection. Raises UserError with the server's words for what it refuses."""

    def __init__(self, address: str = "http://127.0.0.1:8000", token: str | None = None) -> None:
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._address = address.rstrip("/")
        self._http = httpx.Client(base_url=self._address, headers=self._headers, timeout=60)

    def models(self) -> list[dict[str, Any]]:
        """Models that are served, the default first."""
        return list(self._ask("GET", "/v1/models")["data"])

    def takes(self, limit: int = 50) -> list[dict[str, Any]]:
        """Takes, newest first."""
        return list(self._ask("GET", "/v1/takes", params={"limit": limit})["data"])

    def take(self, id: str) -> dict[str, Any]:
        """All that is known of one take."""
        return self._ask("GET", f"/v1/takes/{id}")

    def create(self, prompt: str, *, reference: Path | None = None, **fields: Any) -> dict[str, Any]:
        """Ask for a video. reference: a picture or a video that it is made from."""
        data = {"prompt": prompt, **{key: str(value) for key, value in fields.items() if value is not None}}
        if reference is None:
            return self._ask("POST", "/v1/videos", data=data)
        with reference.open("rb") as file:
            return self._ask("POST", "/v1/videos", data=data, files={"input_reference": file})

    def video(self, id: str) -> dict[str, Any]:
        """How a video stands."""
        return self._ask("GET", f"/v1/videos/{id}")

    def wait(self, id: str, poll: float = 0.5) -> dict[str, Any]:
        """The video when it is done. Raises UserError when it failed."""
        while (video := self.video(id))["status"] not in _OVER:
            time.sleep(poll)
        if video["status"] == "failed":
            raise UserError(f"video {id} failed: {video['error']['message']}")
        return video

    def download(self, id: str, out: Path) -> Path:
        """Write the MP4 of a take or a video into a file."""
        with self._http.stream("GET", f"/v1/takes/{id}/content") as answer, out.open("wb") as file:
            if answer.is_error:
                answer.read()
                self._refuse(answer)
            for part in answer.iter_bytes():
                file.write(part)
        return out

    def delete(self, id: str) -> None:
        """Remove a take."""
        self._ask("DELETE", f"/v1/takes/{id}")

    def live(self, prompt: str | None = None, **fields: Any) -> LiveTake:
        """A live connection; `fields` are those of `session.start`. Without a prompt give `take_id` or `branch`."""
        given = {"prompt": prompt, **fields}
        start = {key: value for key, value in given.items() if value is not None}
        parts = urlsplit(self._address)
        scheme = "wss" if parts.scheme == "https" else "ws"
        address = urlunsplit((scheme, parts.netloc, f"{parts.path}/v1/realtime/video", "", ""))
        return LiveTake(address, self._headers, start)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError:
            raise UserError(f"{self._address} does not answer; start `longtake serve` there") from None
        if answer.is_error:
            self._refuse(answer)
        return dict(answer.json()) if answer.content else {}

    def _refuse(self, answer: httpx.Response) -> None:
        try:
            message = answer.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = f"status {answer.status_code}"
        raise UserError(f"{self._address} refused: {message}")


class LiveTake:
    """One live connection. Iterate it for pieces; taking a piece says that it is on screen, which paces the take."""

    def __init__(self, address: str, headers: Mapping[str, str], start: Mapping[str, Any]) -> None:
        try:
            connecting = connect(address, additional_headers=headers, max_size=None, compression=None)
            self._socket: ClientConnection = connecting.__enter__()
        except (OSError, InvalidStatus) as reason:
            status = f" ({reason.response.status_code})" if isinstance(reason, InvalidStatus) else ""
            raise UserError(f"{address} cannot be connected to{status}; is the server there?") from None
        self.id = ""
        """The take's id, once it has begun."""
        self.init = b""
        """`ftyp moov`, once it has begun."""
        self.config: Mapping[str, Any] = {}
        """Model, size, frame rate, seed."""
        self.receipts: list[Mapping[str, Any]] = []
        """What has become of directions until now."""
        self.done: Mapping[str, Any] | None = None
        """How it ended; None until then."""
        self._say("session.start", **start)

    def __iter__(self) -> Iterator[Piece]:
        while self.done is None:
            message = self._hear()
            if message["type"] == "video.chunk_metadata":
                data = self._socket.recv()
                assert isinstance(data, bytes)
                if message["kind"] == "init":
                    self.init = data
                    continue
                self._say("session.playback", media_time=message["media_time"])
                yield Piece(
                    index=message["generation_chunk_index"],
                    media_time=message["media_time"],
                    segment=data,
                    message=message,
                )

    def steer(self, prompt: str, *, transition: float = 0.0) -> str:
        """Change the prompt from the next chunk on; returns the id under which its receipts come."""
        id = str(uuid.uuid4())
        interaction = {"event_id": id, "event": {"prompt": prompt}, "transition": float(transition)}
        self._say("session.interaction", interaction=interaction)
        return id

    def pause(self) -> None:
        """Hold generation."""
        self._say("session.pause")

    def resume(self) -> None:
        """Go on after `pause`."""
        self._say("session.resume")

    def rewind(self, at: float) -> None:
        """Go on from an earlier media second; what came after it is dropped."""
        self._say("session.rewind", at=float(at))

    def branch(self, at: float, prompt: str | None = None) -> None:
        """Go on with another take from an earlier media second of this one."""
        self._say("session.branch", at=float(at), prompt=prompt)

    def stop(self) -> None:
        """End the take's session; it stays in the server's journal."""
        self._say("session.stop")

    def close(self) -> None:
        """Hang up; the take rests after a while, unless others watch it."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _say(self, type: str, **fields: Any) -> None:
        with suppress(ConnectionClosed):  # what the server said last is still to be read
            self._socket.send(json.dumps({"type": type, **fields}))

    def _hear(self) -> dict[str, Any]:
        """The next message, after what is known of the take has followed it."""
        try:
            message: dict[str, Any] = json.loads(self._socket.recv())
        except ConnectionClosed:
            raise UserError("the server hung up; connect again with take_id to go on") from None
        match message["type"]:
            case "video.start":
                self.id, self.config = message["take_id"], message["config"]
            case "session.receipt" | "session.interaction.queued":
                self.receipts.append(message)
            case "session.done":
                self.done = message
            case "error" if message["fatal"]:
                raise UserError(f"the server refused: {message['error']['message']}")
        return message
