"""The REST routes, over a real socket: videos, takes, media for players, documents."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from PIL import Image

from longtake.provenance.verify import verify
from longtake.studio.asyncapi import document
from tests.studio.serving import PROMPT, Running, pictures, serve, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    patch = pytest.MonkeyPatch()
    patch.setenv("LONGTAKE_HOME", str(tmp_path_factory.mktemp("cache")))
    with serve(tmp_path_factory.mktemp("home"), starts_a_minute=10_000, num_frames=40) as running:
        yield running
    patch.undo()


@pytest.fixture(scope="module")
def http(server: Running) -> Iterator[httpx.Client]:
    with server.http() as client:
        yield client


@pytest.fixture(scope="module")
def video(http: httpx.Client) -> dict[str, Any]:
    return _made(http, http.post("/v1/videos", data={"prompt": PROMPT, "num_frames": "13", "seed": "7"}))


def _made(http: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """The video when it is done."""
    assert answer.status_code == 201, answer.text
    url = f"/v1/videos/{answer.json()['id']}"
    wait_for(lambda: http.get(url).json()["status"] in ("completed", "failed"), 40)
    done: dict[str, Any] = http.get(url).json()
    assert done["status"] == "completed", done
    return done


def _count(data: bytes) -> int:
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        return sum(1 for _ in container.decode(video=0))


def _png(colour: str = "red") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (64, 32), colour).save(target, "PNG")
    return target.getvalue()


def test_a_video_is_made_and_fetched_signed(
    http: httpx.Client, video: dict[str, Any], tmp_path: Path
) -> None:
    assert (video["progress"], video["size"], video["seed"], video["error"]) == (100, "32x16", 7, None)
    answer = http.get(f"/v1/videos/{video['id']}/content")
    assert answer.headers["content-type"] == "video/mp4"
    assert _count(answer.content) == 13
    part = http.get(f"/v1/videos/{video['id']}/content", headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, answer.content[:100])
    file = tmp_path / "video.mp4"
    file.write_bytes(answer.content)
    report = verify(file)
    assert report.valid, report


def test_json_and_form_ask_for_the_same(http: httpx.Client, video: dict[str, Any]) -> None:
    same = _made(http, http.post("/v1/videos", json={"prompt": PROMPT, "num_frames": 13, "seed": 7}))
    segments = [
        http.get(f"/v1/takes/{one['id']}/segments/{index}.m4s").content
        for one in (same, video)
        for index in (0, 1)
    ]
    assert pictures(segments[:2]) == pictures(segments[2:])


def test_a_remix_has_another_prompt_and_the_rest_of_its_parent(
    http: httpx.Client, video: dict[str, Any]
) -> None:
    remix = _made(http, http.post(f"/v1/videos/{video['id']}/remix", json={"prompt": "a blue cube"}))
    assert remix["remixed_from_video_id"] == video["id"]
    assert (remix["prompt"], remix["seed"], remix["seconds"]) == ("a blue cube", 7, video["seconds"])
    take = http.get(f"/v1/takes/{video['id']}").json()
    assert remix["id"] in take["children"]


def test_a_picture_begins_a_video(http: httpx.Client) -> None:
    asked = {"prompt": PROMPT, "seconds": "1"}
    refused = http.post("/v1/videos", data=asked, files={"input_reference": ("../../x.png", _png())})
    assert (refused.status_code, "takes no image" in refused.text) == (400, True), "tiny was not made for it"
    upload = http.post("/v1/uploads", files={"file": _png()}).json()
    assert (upload["kind"], upload["width"], upload["height"]) == ("image", 64, 32)
    assert http.get(f"/v1/uploads/{upload['id']}").json() == upload
    assert http.delete(f"/v1/uploads/{upload['id']}").status_code == 204
    gone = http.post("/v1/videos", json=asked | {"input_reference": {"upload": upload["id"]}})
    assert gone.status_code == 404


def test_a_video_is_made_anew(http: httpx.Client, video: dict[str, Any]) -> None:
    content = http.get(f"/v1/videos/{video['id']}/content").content
    answer = http.post(
        "/v1/videos", data={"prompt": "a blue cube", "strength": "0.8"}, files={"input_reference": content}
    )
    made = _made(http, answer)
    assert _count(http.get(f"/v1/videos/{made['id']}/content").content) == 13


def test_videos_are_listed_and_removed(http: httpx.Client, video: dict[str, Any]) -> None:
    one = _made(http, http.post("/v1/videos", json={"prompt": PROMPT, "num_frames": 5}))
    page = http.get("/v1/videos", params={"limit": 1}).json()
    assert (page["object"], page["has_more"], len(page["data"])) == ("list", True, 1)
    rest = http.get("/v1/videos", params={"after": page["last_id"], "limit": 100}).json()["data"]
    everything = http.get("/v1/videos", params={"limit": 100, "order": "asc"}).json()["data"]
    assert [each["id"] for each in page["data"] + rest] == [each["id"] for each in everything[::-1]]
    assert http.delete(f"/v1/videos/{one['id']}").json()["deleted"] is True
    for url in (f"/v1/videos/{one['id']}", f"/v1/takes/{one['id']}", f"/v1/takes/{one['id']}/content"):
        assert http.get(url).status_code == 404


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 422),
        ({"prompt": ""}, 422),
        ({"prompt": "  "}, 400),
        ({"prompt": "a", "output_path": "/tmp/x"}, 422),
        ({"prompt": "a", "seconds": 0}, 422),
        ({"prompt": "a", "seconds": "NaN"}, 422),
        ({"prompt": "a", "seconds": 1, "num_frames": 3}, 400),
        ({"prompt": "a", "num_frames": 41}, 400),
        ({"prompt": "a", "size": "33x16"}, 400),
        ({"prompt": "a", "size": "32x16", "width": 32}, 400),
        ({"prompt": "a", "fps": 30}, 400),
        ({"prompt": "a", "seed": -1}, 422),
        ({"prompt": "a", "model": "../../x"}, 400),
        ({"prompt": "a" * 4001}, 400),
        ({"prompt": "a", "input_reference": {"upload": "../../etc/passwd"}}, 422),
        ({"prompt": "a", "input_reference": {"image_url": "http://127.0.0.1"}}, 422),
        ({"prompt": "a", "strength": 0.5}, 400),
    ],
    ids=str,
)
def test_what_cannot_be_made_is_refused_in_words(
    http: httpx.Client, asked: dict[str, Any], status: int
) -> None:
    answer = http.post("/v1/videos", json=asked)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


def test_takes_are_shown_with_media_for_every_player(http: httpx.Client, video: dict[str, Any]) -> None:
    take = http.get(f"/v1/takes/{video['id']}").json()
    assert (take["status"], take["seconds"], take["chunks"]) == ("complete", 13 / 8, len(take["segments"]))
    assert [receipt["status"] for receipt in take["receipts"]] == ["accepted"]
    listed = http.get("/v1/takes", params={"limit": 200}).json()["data"]
    assert video["id"] in [each["id"] for each in listed]
    picture = http.get(take["links"]["thumbnail"], params={"at": 0})
    assert Image.open(io.BytesIO(picture.content)).size == (32, 16)
    playlist = http.get(take["links"]["playlist"]).text.splitlines()
    assert playlist[-1] == "#EXT-X-ENDLIST"
    parts = ["init.mp4", *[line for line in playlist if line.startswith("segments/")]]
    assert _count(b"".join(http.get(f"/v1/takes/{video['id']}/{part}").content for part in parts)) == 13
    assert http.get(f"/v1/takes/{video['id']}/segments/99.m4s").status_code == 404


def test_documents_and_figures(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    for name in (
        "sessions_active",
        "time_to_first_chunk_seconds_count",
        "chunk_interval_seconds_bucket",
        "chunk_deadline_missed_total",
        "playback_stall_seconds_total",
        "kv_cache_bytes",
    ):
        assert f"longtake_{name}" in text
    described = http.get("/asyncapi.json").json()
    assert described == document()
    assert described["asyncapi"] == "3.0.0"
    definitions = described["components"]["schemas"]
    start = {**definitions["SessionStart"], "components": {"schemas": definitions}}
    jsonschema_rs.validate(start, {"type": "session.start", "prompt": "a"})
    model = http.get("/v1/models").json()["data"][0]
    assert (model["id"], model["default"], model["chunk_seconds"], model["takes_video"]) == (
        "tiny",
        True,
        1.0,
        True,
    )


def _check_routes(server: Running, examples: int) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: Any) -> None:
            answer = case.call(timeout=20)
            assert answer.status_code < 500 or answer.status_code == 503, (answer.status_code, answer.text)
            if answer.status_code >= 400:
                assert set(answer.json()["error"]) == {"type", "message", "retry_after"}

        from hypothesis import given

        given(case=operation.as_strategy())(check)()
    assert server.http().get("/readyz").status_code == 200


def test_no_request_breaks_the_server(server: Running, video: dict[str, Any]) -> None:
    _check_routes(server, 3)


@pytest.mark.soak
def test_no_request_breaks_the_server_at_length(server: Running, video: dict[str, Any]) -> None:
    _check_routes(server, 100)
