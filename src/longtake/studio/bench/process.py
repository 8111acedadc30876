"""A server in a process of its own, as `longtake serve` starts it, and what it holds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from longtake.errors import UserError

_START_SECONDS = 300.0
_STOP_SECONDS = 30.0
_ADDRESS = re.compile(r"longtake is at (http://\S+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What the process holds at a moment."""

    rss_mb: float
    """Resident memory."""
    files: int
    """Open files and sockets."""
    threads: int
    """Threads."""


class ServerProcess:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], address: str, token: str | None) -> None:
        self._process, self.address, self.token = process, address, token
        self.http = self.client()

    def client(self) -> httpx.Client:
        """Another client, to be closed."""
        return httpx.Client(base_url=self.address, headers=dict(self.headers), timeout=30)

    @property
    def live_address(self) -> str:
        """Where the live connection is."""
        return f"{self.address.replace('http', 'ws', 1)}/v1/realtime/video"

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request has to carry."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def model(self) -> Mapping[str, Any]:
        """The default model, as `/v1/models` has it."""
        found: Mapping[str, Any] = self.http.get("/v1/models").json()["data"][0]
        return found

    def figures(self) -> dict[str, float]:
        """What `/metrics` says, without labels."""
        lines = self.http.get("/metrics").text.splitlines()
        pairs = (
            line.rsplit(" ", 1) for line in lines if line and not line.startswith("#") and "{" not in line
        )
        return {name.removeprefix("longtake_"): float(value) for name, value in pairs}

    def held(self) -> Held:
        """What it holds now (Linux)."""
        place = Path(f"/proc/{self._process.pid}")
        pages = int((place / "statm").read_text().split()[1])
        status = dict(
            line.split(":\t", 1) for line in (place / "status").read_text().splitlines() if ":\t" in line
        )
        return Held(
            rss_mb=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            files=len(list((place / "fd").iterdir())),
            threads=int(status["Threads"]),
        )


@contextmanager
def server(model: str, *options: str, tokens: tuple[str, ...] = ()) -> Iterator[ServerProcess]:
    """Start a server for a model, with a folder of its own for its takes; it is ready, and stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as home:
        words = ["serve", "--model", model, "--port", "0", "--compute-seconds-an-hour", "1e9", *options]
        if tokens:
            file = Path(home) / "tokens"
            file.write_text("\n".join(tokens))
            words += ["--token-file", str(file)]
        process = subprocess.Popen(
            [sys.executable, "-m", "longtake", *words],
            env=os.environ | {"LONGTAKE_HOME": home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            running = ServerProcess(process, _address(process), tokens[0] if tokens else None)
            _wait_ready(running, process)
            yield running
            running.http.close()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[str]) -> str:
    """Read on to the line that says where it listens; what it says later is let go."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line.strip())
        if found := _ADDRESS.search(line):
            threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
            return found[1]
    raise UserError(f"the server does not start: {said[-1] if said else 'it said nothing'}")


def _drain(lines: Any) -> None:
    for _ in lines:
        pass


def _wait_ready(running: ServerProcess, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _START_SECONDS
    while running.http.get("/readyz").status_code != 200:
        if process.poll() is not None or time.monotonic() > end:
            raise UserError("the server does not get ready; start `longtake serve` to see why")
        time.sleep(0.1)
