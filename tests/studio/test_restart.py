"""The server as a command: killed under its viewers and started again, it goes on with their takes and videos."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from longtake.studio.client import Client
from tests.studio.serving import PROMPT, Live, pictures, wait_for
from tests.tiny import tiny_folder


@contextmanager
def _command(home: Path, model: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`longtake serve` in a process of its own, and its address."""
    command = [sys.executable, "-m", "longtake", "serve", "--model", str(model), "--port", "0", *options]
    environment = {**os.environ, "LONGTAKE_HOME": str(home)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "longtake is at" in line)
        address = line.split()[-1]
        wait_for(lambda: httpx.get(f"{address}/readyz").status_code == 200, 240)
        yield process, address
    finally:
        process.kill()
        process.wait()


def _live(address: str) -> Live:
    from websockets.sync.client import connect

    return Live(
        connect(f"{address.replace('http', 'ws')}/v1/realtime/video", max_size=None, compression=None)
    )


def _chunks(live: Live, count: int) -> list[dict[str, Any]]:
    return [live.chunk() for _ in range(count)]


def test_a_killed_server_goes_on_where_it_stood(tmp_path: Path) -> None:
    model, home = tiny_folder(tmp_path / "model"), tmp_path / "home"
    with _command(home, model) as (process, address):
        video = httpx.post(f"{address}/v1/videos", json={"prompt": PROMPT, "num_frames": 4000}).json()["id"]
        with _live(address) as live:
            live.say("session.start", prompt=PROMPT, seed=7)
            take_id = live.until("video.start")["take_id"]
            seen, media = _chunks(live, 3), live.media[1:]
            process.kill()
            process.wait()
    with _command(home, model) as (process, address), Client(address) as client:
        with _live(address) as live:
            live.say("session.start", take_id=take_id, **{"from": seen[1]["media_time"]})
            assert live.until("video.start")["media_time"] == seen[1]["media_time"]
            again = _chunks(live, 4)
            assert [one["generation_chunk_index"] for one in again] == [1, 2, 3, 4]
            assert pictures(live.media[1:3]) == pictures(media[1:3]), (
                "what was announced is there, to the byte"
            )
        assert client.video(video)["status"] in ("queued", "in_progress"), "videos are taken up again"
        assert httpx.delete(f"{address}/v1/videos/{video}").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr.read().splitlines() if line.startswith("{")]
        assert {"take begun", "take over"} <= {line["event"] for line in lines}
