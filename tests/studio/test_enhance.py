"""A take made larger and cleaner on request, beside live takes; and the reason where a model cannot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from longtake.media import read_video
from longtake.provenance.verify import verify
from longtake.studio.stage import Stage
from tests.enhance.tiny import tiny_enhancer_folder
from tests.studio.serving import PROMPT, Running, serve, wait_for
from tests.tiny import tiny_folder

pytestmark = pytest.mark.filterwarnings("ignore:the enhancer of tiny was trained at")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tiny_folder(tmp_path_factory.mktemp("model"))
    tiny_enhancer_folder(folder)
    with serve(tmp_path_factory.mktemp("home"), load=lambda: Stage.load([str(folder)])) as running:
        yield running


def _take(server: Running, num_frames: int = 13) -> str:
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, seed=1, num_frames=num_frames)
        take_id = live.until("video.start")["take_id"]
        live.until("session.done")
    wait_for(lambda: server.service.admission.running == 0)
    return str(take_id)


def _done(http: httpx.Client, path: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while (state := http.get(path).json())["status"] in ("queued", "in_progress"):
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return dict(state)


def test_a_take_is_made_larger_on_request(server: Running, tmp_path: Path) -> None:
    take_id = _take(server)
    base = f"/v1/takes/{take_id}"
    with server.http() as http:
        model = http.get("/v1/models").json()["data"][0]
        assert (model["enhances"], model["enhance_note"]) == (True, None)
        assert http.get(f"{base}/enhance").status_code == http.get(f"{base}/enhanced").status_code == 404
        begun = http.post(f"{base}/enhance")
        assert (begun.status_code, begun.json()["take_id"]) == (202, take_id)
        state = _done(http, f"{base}/enhance")
        assert (state["status"], state["progress"], state["content"]) == (
            "completed",
            100,
            f"{base}/enhanced",
        )
        answer = http.get(state["content"])
        assert http.post(f"{base}/enhance").json()["status"] == "completed", "it is not made again"
        assert server.service.admission.queued == 0
    (tmp_path / "large.mp4").write_bytes(answer.content)
    assert read_video(tmp_path / "large.mp4")[0].shape == (13, 32, 64, 3)
    assert verify(tmp_path / "large.mp4").valid


def test_two_that_ask_at_once_share_one(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    take_id, begun = _take(server), list[object]()
    enhance = server.service.worker.enhance
    monkeypatch.setattr(
        server.service.worker, "enhance", lambda order, heard: (begun.append(order), enhance(order, heard))
    )
    with server.http() as http, ThreadPoolExecutor(4) as many:
        answers = [*many.map(lambda _: http.post(f"/v1/takes/{take_id}/enhance"), range(4))]
        assert [answer.status_code for answer in answers] == [202] * 4
        assert _done(http, f"/v1/takes/{take_id}/enhance")["status"] == "completed"
    assert len(begun) == 1


def test_live_takes_go_on_while_another_is_enhanced(server: Running) -> None:
    take_id = _take(server, 33)
    with server.live() as live, server.http() as http:
        live.say("session.start", prompt=PROMPT, seed=2)
        live.chunk()
        http.post(f"/v1/takes/{take_id}/enhance")
        for _ in range(3):
            live.chunk()
        live.say("session.stop")
        live.until("session.done", reason="stopped")
        assert _done(http, f"/v1/takes/{take_id}/enhance")["status"] == "completed"


def test_what_cannot_be_enhanced_says_why(tmp_path: Path) -> None:
    with serve(tmp_path) as server, server.http() as http:
        take_id = _take(server, 5)
        model = http.get("/v1/models").json()["data"][0]
        assert not model["enhances"]
        refused = http.post(f"/v1/takes/{take_id}/enhance")
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, model["enhance_note"])
        assert "without an enhancer" in model["enhance_note"]
        assert http.post("/v1/takes/00000000-0000-4000-8000-000000000000/enhance").status_code == 404
