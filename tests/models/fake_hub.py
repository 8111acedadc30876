"""A Hub on this machine: HEAD and GET of files with the headers that the Hub's client reads, and lines that break."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(slots=True)
class FakeHub:
    """Files by `owner/name/path`, and how the line behaves."""

    files: dict[str, bytes]
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which the next GETs break off, one entry each."""
    status: int = 200
    """Answer to everything but files when it is not 200."""
    delivered: dict[str, bytes] = field(default_factory=dict)
    """What is delivered in place of a file, under its right hash."""
    ranges: list[str | None] = field(default_factory=list)
    """`Range` header of every GET."""
    endpoint: str = ""


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._head(0)

        def do_GET(self) -> None:
            hub.ranges.append(self.headers["Range"])
            start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").split("-")[0])
            body = self._head(start)
            end = hub.cut_after.pop(0) if hub.cut_after else len(body)
            self.wfile.write(body[:end])
            self.close_connection = True

        def _head(self, start: int) -> bytes:
            repo, _, path = self.path.strip("/").partition("/resolve/")
            name = f"{repo}/{path.split('/', 1)[-1]}"
            if hub.status != 200 or name not in hub.files:
                self.send_response(hub.status if hub.status != 200 else 404)
                self.end_headers()
                return b""
            content = hub.files[name]
            body = hub.delivered.get(name, content)[start:]
            self.send_response(206 if start else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Run `hub` while the block runs; its `endpoint` is set."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
