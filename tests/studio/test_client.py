"""The Python client against a real server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from longtake.errors import UserError
from longtake.studio.client import Client
from longtake.studio.overhead import measure_overhead
from tests.studio.serving import PROMPT, TOKEN, Running, serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(tmp_path_factory.mktemp("home"), tokens=(TOKEN,)) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client(server.url, TOKEN) as client:
        yield client


def _count(movie: bytes) -> int:
    with av.open(io.BytesIO(movie), "r", format="mp4") as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_live_take_is_watched_and_steered(client: Client) -> None:
    with client.live(PROMPT, seed=7, num_frames=40) as take:
        parts = []
        for piece in take:
            if not parts:
                id = take.steer("a blue cube")
            parts.append(piece.segment)
        assert _count(take.init + b"".join(parts)) == 40
        assert take.done is not None
        assert take.done["reason"] == "complete"
        statuses = [receipt["status"] for receipt in take.receipts if receipt["event_id"] == id]
        assert statuses == ["accepted", "applied"]
    assert client.take(take.id)["status"] == "complete"
    assert take.id in [each["id"] for each in client.takes()]


def test_a_video_is_asked_for_and_downloaded(client: Client, tmp_path: Path) -> None:
    video = client.wait(client.create(PROMPT, num_frames=9)["id"], poll=0.1)
    out = client.download(video["id"], tmp_path / "out.mp4")
    assert _count(out.read_bytes()) == 9
    client.delete(video["id"])
    with pytest.raises(UserError, match="no such take"):
        client.take(video["id"])


def test_refusals_come_in_the_servers_words(server: Running, client: Client) -> None:
    with pytest.raises(UserError, match="not served here; use one of tiny"):
        client.create(PROMPT, model="none")
    with pytest.raises(UserError, match="not served here"), client.live(PROMPT, model="none") as take:
        next(iter(take))
    with pytest.raises(UserError, match="token"):
        Client(server.url).models()
    with pytest.raises(UserError, match="401"):
        Client(server.url).live(PROMPT)
    with pytest.raises(UserError, match="does not answer"):
        Client("http://127.0.0.1:9").models()


def test_bytes_are_at_the_client_soon_after_a_chunk_is_there(client: Client) -> None:
    found = measure_overhead(client, PROMPT, chunks=8)
    assert found.chunks == 8
    assert 0 <= found.p50 <= found.p95 <= found.worst
    assert found.p50 < 0.5, (
        "the bound of 20 ms is for a quiet machine; `measure_overhead` says what it is here"
    )
