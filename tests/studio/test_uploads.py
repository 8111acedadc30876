"""Uploads that want to do harm: refused in words, in time, within memory; and the next one works."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from longtake.studio.errors import Reason, Refused
from longtake.studio.uploads import sniff
from tests.studio.hostile import Hostile, hostile, image, video
from tests.studio.serving import Running, serve

NAMES = (
    "../../../etc/cron.d/x",
    "/etc/passwd",
    "x\x00.png",
    "..\\..\\x",
    "a" * 3000,
    "file:///etc/passwd",
    "｡｡/x",
)
REFUSED = {400, 413, 415, 422}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(
        tmp_path_factory.mktemp("home"), upload_seconds=5, decode_seconds=5, decode_bytes=2**30
    ) as running:
        yield running


def _send(http: httpx.Client, data: bytes, name: str = "x.png", kind: str = "image/png") -> httpx.Response:
    return http.post("/v1/uploads", files={"file": (name, data, kind)})


def _attack(server: Running, files: list[Hostile]) -> None:
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with server.http() as http:
        for number, (what, data) in enumerate(files):
            answer = _send(http, data, NAMES[number % len(NAMES)])
            assert answer.status_code in REFUSED | {201}, (what, answer.text)
            if answer.status_code == 201:  # damaged where it does not matter
                assert "damaged" in what or "other bytes" in what or "body" in what or "cut" in what, what
                http.delete(f"/v1/uploads/{answer.json()['id']}")
            else:
                message = answer.json()["error"]["message"]
                assert not any(
                    word in message for word in ("/tmp", "0x", "Traceback", "longtake-", "Error")
                ), message
        assert _send(http, image("PNG")).status_code == 201, "the next upload works"
    folder = server.service.folder / "uploads"
    assert len([*folder.iterdir()]) == len(server.service.uploads._known), "nothing is left behind"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(children, 2**20), (
        "decoders keep to their memory"
    )


def test_hostile_files_are_refused(server: Running) -> None:
    files = hostile(0)
    _attack(server, files[::3] + hostile(24)[-8:])


@pytest.mark.soak
def test_many_hostile_files_are_refused(server: Running) -> None:
    files = hostile(180)
    assert len(files) >= 200
    _attack(server, files)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (image("JPEG"), "image"),
        (image("WEBP"), "image"),
        (video(), "video"),
        (video("avi", "mpeg4"), "video"),
    ],
    ids=["jpeg", "webp", "mp4", "avi"],
)
def test_what_is_taken_is_looked_at_whatever_it_calls_itself(server: Running, data: bytes, kind: str) -> None:
    with server.http() as http:
        answer = _send(http, data, "x.exe", "application/x-msdownload")
        assert (answer.status_code, answer.json()["kind"]) == (201, kind)
        file = server.service.uploads.path(answer.json()["id"], kind)  # type: ignore[arg-type]
        assert file.read_bytes() != data, "what is kept is made anew"
        assert http.delete(f"/v1/uploads/{answer.json()['id']}").status_code == 204
        assert not file.exists()


def test_a_video_that_is_too_long_is_refused_before_it_is_decoded(server: Running) -> None:
    answer = _send(server.http(), video(frames=80))
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")


@pytest.mark.parametrize("head", [b"", b"#EXTM3U", b"<svg", b"RIFF0000WAVE", b"II*\x00", b"%!PS"])
def test_only_known_kinds_reach_the_decoder(head: bytes) -> None:
    with pytest.raises(Refused) as refused:
        sniff(head)
    assert refused.value.reason is Reason.UNSUPPORTED


def test_uploads_have_an_end(tmp_path: Path) -> None:
    with serve(tmp_path, uploads=1) as server, server.http() as http:
        assert _send(http, image("PNG")).status_code == 201
        full = _send(http, image("PNG"))
        assert (full.status_code, full.headers["retry-after"]) == (503, "60")
