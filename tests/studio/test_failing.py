"""A take that fails ends alone, with a typed error; the others go on and the next start works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.pipeline import Pipeline
from longtake.studio.failures import explain
from longtake.studio.stage import Stage
from tests.studio.serving import PROMPT, Running, TwoLanes, serve, wait_for
from tests.tiny import tiny_pipeline


def _named(name: str) -> Pipeline:
    pipe = tiny_pipeline()
    pipe.preset = pipe.preset.model_copy(update={"name": name})
    return pipe


def _spoil(pipe: Pipeline) -> None:
    with torch.no_grad():
        next(pipe.backbone.parameters()).fill_(torch.nan)


class _Models:
    """A healthy model, and one that can be broken while it is served."""

    def __init__(self) -> None:
        self.fragile, self.spoilt = _named("fragile"), _named("spoilt")
        _spoil(self.spoilt)

    def load(self) -> Stage:
        return TwoLanes([tiny_pipeline(), self.fragile, self.spoilt])


@pytest.fixture(scope="module")
def models() -> _Models:
    return _Models()


@pytest.fixture(scope="module")
def server(models: _Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(tmp_path_factory.mktemp("home"), load=models.load, idle_seconds=0.1, max_takes=8) as running:
        yield running


def _break(models: _Models, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        if failure == "out_of_memory":
            raise torch.OutOfMemoryError("CUDA out of memory at 0x7f00")
        if failure == "not_finite":
            return decode(*_) if not _spoil(models.fragile) else None
        raise RuntimeError("at 0x7f0000 in /srv/secret")

    decode = models.fragile.codec.decode
    monkeypatch.setattr(models.fragile.codec, "decode", fails)


@pytest.mark.parametrize("failure", ["out_of_memory", "model_error", "not_finite"])
def test_a_failing_take_ends_alone(
    server: Running, models: _Models, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = models.fragile.backbone.state_dict()
    healthy = {name: value.clone() for name, value in healthy.items()}
    with server.live() as good:
        good.say("session.start", prompt=PROMPT)
        good.chunk()
        with server.live() as bad:
            bad.say("session.start", prompt=PROMPT, model="fragile")
            bad.chunk()
            _break(models, failure, monkeypatch)
            error = bad.until("error")
            assert (error["error"]["type"], error["fatal"]) == ("failed", True)
            assert "0x7f" not in error["error"]["message"]
            assert "/srv" not in error["error"]["message"]
            assert bad.until("session.done")["reason"] == "failed"
        good.chunk()
        monkeypatch.undo()
        models.fragile.backbone.load_state_dict(healthy)
        with server.live() as again:
            again.say("session.start", prompt=PROMPT, model="fragile")
            again.chunk()
        good.chunk()
    wait_for(lambda: server.service.admission.running == 0)


def test_weights_that_make_no_numbers_are_found_at_the_start(server: Running) -> None:
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, model="spoilt")
        error = live.until("error")
        assert "not finite" in error["error"]["message"]
    answer = server.http().post("/v1/videos", json={"prompt": PROMPT, "model": "spoilt"})
    assert answer.status_code == 400


def test_a_video_that_fails_says_so_and_the_next_is_made(
    server: Running, models: _Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.http() as http:
        _break(models, "model_error", monkeypatch)
        broken = http.post("/v1/videos", json={"prompt": PROMPT, "model": "fragile", "num_frames": 9}).json()
        url = f"/v1/videos/{broken['id']}"
        wait_for(lambda: http.get(url).json()["status"] == "failed", 40)
        error = http.get(url).json()["error"]
        assert error["code"] == "model_error"
        assert "/srv" not in error["message"]
        assert http.get(f"{url}/content").status_code == 409
        monkeypatch.undo()
        fine = http.post("/v1/videos", json={"prompt": PROMPT, "model": "fragile", "num_frames": 9}).json()
        wait_for(lambda: http.get(f"/v1/videos/{fine['id']}").json()["status"] == "completed", 40)


def test_a_server_whose_model_cannot_be_opened_is_not_ready(tmp_path: Path) -> None:
    def load() -> Stage:
        raise MemoryError

    with serve(tmp_path, load=load, is_warm=False) as server, server.http() as http, server.live() as live:
        answer = http.get("/readyz")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "not_ready")
        assert int(answer.headers["retry-after"]) >= 1
        assert http.get("/healthz").status_code == 200
        live.say("session.start", prompt=PROMPT)
        assert live.until("error")["error"]["type"] == "not_ready"


def test_a_full_disk_is_told_as_such() -> None:
    assert explain(OSError(28, "No space left on device")).code == "not_recorded"
