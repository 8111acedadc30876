"""What viewers get is signed, and a stream that was written down is checked like a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from longtake.provenance.verify import verify
from longtake.studio.client import Client
from tests.provenance.receiver import receiver
from tests.studio.serving import PROMPT, Running, pictures, serve, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(tmp_path_factory.mktemp("home"), idle_seconds=0.3) as running:
        yield running


def _written(path: Path, parts: list[bytes]) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def _at_rest(server: Running) -> None:
    wait_for(lambda: server.service.admission.running == 0)


def test_a_live_stream_that_was_written_down_is_as_it_was_signed(server: Running, tmp_path: Path) -> None:
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, seed=7, num_frames=20)
        live.until("session.done")
    report = verify(_written(tmp_path / "take.mp4", live.media))
    assert report.problems == ()
    assert (report.kind, report.segments) == ("live", 3)
    assert report.take == {"model": "tiny", "seed": 7, "prompts": [{"at": 0.0, "prompt": PROMPT}]}
    _at_rest(server)


def test_what_was_changed_dropped_or_moved_on_the_way_is_named(server: Running, tmp_path: Path) -> None:
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, num_frames=28)
        live.until("session.done")
    head, *segments = live.media
    changed = bytearray(segments[1])
    changed[-1] ^= 1
    for parts, what in (
        ([segments[0], bytes(changed), segments[2]], "segment 2 was changed after it was signed"),
        ([segments[0], segments[2]], "segment 2 is missing"),
        ([segments[1], segments[0]], "segment 1 is missing"),
    ):
        report = verify(_written(tmp_path / "take.mp4", [head, *parts]))
        assert report.problems[0].what == what
    _at_rest(server)


def test_a_rewind_begins_another_stream_with_a_head_of_its_own(server: Running, tmp_path: Path) -> None:
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, seed=1)
        while live.chunk()["media_time"] < 1.6:
            pass
        before = [*live.media]
        live.say("session.rewind", at=0.7)
        live.until("session.rewound")
        head = live.until("video.chunk_metadata", kind="init")
        assert head["epoch"] == 1
        live.media = live.media[-1:]
        assert live.chunk()["epoch"] == 1
        live.say("session.stop")
    assert verify(_written(tmp_path / "before.mp4", before)).valid
    joining = receiver(live.media[0], late=True)
    assert joining.check(live.media[1]) == []
    assert joining.manifest != receiver(before[0]).manifest
    _at_rest(server)


def test_who_comes_later_gets_the_same_bytes_and_can_check_them(server: Running, tmp_path: Path) -> None:
    with server.live() as first, server.live() as second:
        first.say("session.start", prompt=PROMPT)
        take_id = first.until("video.start")["take_id"]
        for _ in range(3):
            first.chunk()
        second.say("session.start", take_id=take_id, role="watch", **{"from": 0.7})
        second.chunk()
        second.chunk()
        assert second.media[0] == first.media[0]
        assert pictures(second.media[1:]) == pictures(first.media[2:4])
        late = receiver(second.media[0], late=True)
        assert [late.check(segment) for segment in second.media[1:]] == [[], []]
        written = _written(tmp_path / "late.mp4", second.media)
        assert verify(written).problems[0].what == "segment 1 is missing"
        assert verify(written, late=True).valid
        first.say("session.stop")
    _at_rest(server)


def test_a_playlist_leads_to_a_signed_stream_and_not_to_a_mixed_one(server: Running, tmp_path: Path) -> None:
    with server.live() as live, server.http() as http:
        live.say("session.start", prompt=PROMPT, num_frames=20)
        take_id = live.until("video.start")["take_id"]
        live.until("session.done")
        base = f"/v1/takes/{take_id}"
        _at_rest(server)
        links = re.findall(r"(?:init|segments/\d+)\.\w+\?stream=\w+", http.get(f"{base}/stream.m3u8").text)
        assert len(links) == 4
        parts = [http.get(f"{base}/{link}").content for link in links]
        assert verify(_written(tmp_path / "hls.mp4", parts)).valid
        assert parts[0] == live.media[0], "one stream, however it is watched"
        assert http.get(f"{base}/segments/0.m4s?stream=another").status_code == 410
        assert http.get(f"{base}/init.mp4?stream=another").status_code == 410
        assert pictures([http.get(f"{base}/segments/0.m4s").content]) == pictures(parts[1:2])


def test_the_switch_leaves_streams_unsigned(tmp_path: Path) -> None:
    with serve(tmp_path / "home", provenance=False) as server, server.live() as live, server.http() as http:
        live.say("session.start", prompt=PROMPT, num_frames=12)
        take_id = live.until("video.start")["take_id"]
        live.until("session.done")
        assert verify(_written(tmp_path / "take.mp4", live.media)).kind == "none"
        assert b"stream=" not in http.get(f"/v1/takes/{take_id}/stream.m3u8").content
        assert http.get(f"/v1/takes/{take_id}/content").content == b"".join(live.media)


def test_the_client_writes_down_what_can_be_checked(server: Running, tmp_path: Path) -> None:
    with Client(server.url) as client, client.live(PROMPT, num_frames=20) as take:
        pieces = [piece.segment for piece in take]
    assert verify(_written(tmp_path / "take.mp4", [take.init, *pieces])).valid
    _at_rest(server)


def test_pictures_of_a_client_are_named_as_what_the_take_is_made_from(
    server: Running, tmp_path: Path
) -> None:
    import io

    import numpy as np
    from PIL import Image

    picture = io.BytesIO()
    Image.fromarray(np.full((24, 40, 3), 90, np.uint8)).save(picture, "JPEG")
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, video_reference={"live": True}, strength=0.8)
        live.until("video.start")
        live.socket.send(picture.getvalue())
        live.chunk()
        live.say("session.stop")
    report = verify(_written(tmp_path / "take.mp4", live.media[:2]))
    assert report.valid
    assert report.made_from == ("live-pictures.mp4",)
    _at_rest(server)
