"""One take, many viewers: what a slow one misses, and that nobody else feels it."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

from websockets.sync.client import connect

from longtake.studio.viewers import CONTROL, Audience, Parcel, Viewer
from tests.studio.serving import PROMPT, serve, wait_for


def _media(number: int) -> Parcel:
    return Parcel(message={"type": "media", "number": number}, media=bytes([number]), start=float(number))


def _word(number: int) -> Parcel:
    return Parcel(message={"type": "word", "number": number})


def _ready(chunks: int) -> Viewer:
    viewer = Viewer(chunks)
    viewer.is_behind = False
    return viewer


def _drain(viewer: Viewer) -> list[Parcel]:
    found = []
    while (parcel := viewer.take()) is not None:
        found.append(parcel)
    return found


def test_a_slow_viewer_goes_on_at_the_newest_chunk_and_is_told_what_it_missed() -> None:
    viewer = _ready(3)
    for number in range(4):
        viewer.offer(_media(number))
        viewer.offer(_word(number))
    parcels = _drain(viewer)
    assert [parcel.media for parcel in parcels if parcel.media] == [b"\x03"]
    holes = [parcel.message for parcel in parcels if parcel.message["type"] == "session.skipped"]
    assert holes == [{"type": "session.skipped", "from": 0.0, "to": 3.0}]
    assert [parcel.message["number"] for parcel in parcels if parcel.message["type"] == "word"] == [
        0,
        1,
        2,
        3,
    ]
    assert viewer.skipped == 3


def test_what_waits_for_a_viewer_has_an_end() -> None:
    viewer = _ready(2)
    for number in range(100_000):
        viewer.offer(_word(number))
    assert viewer.is_overrun
    assert viewer.is_closed
    assert not _drain(viewer)
    viewer = _ready(2)
    for number in range(10_000):
        viewer.offer(_media(number % 256))
    assert len(_drain(viewer)) <= 2 * CONTROL


def test_media_waits_until_a_viewer_has_caught_up() -> None:
    viewer = Viewer(2)
    viewer.offer(_media(0))
    viewer.offer(_word(0))
    viewer.is_behind = False
    viewer.offer(_media(1))
    assert [parcel.media for parcel in _drain(viewer)] == [None, b"\x01"]


def test_all_viewers_share_one_parcel() -> None:
    audience, viewers, parcel = Audience(), [_ready(2) for _ in range(3)], _media(0)
    for viewer in viewers:
        audience.join(viewer)
    audience.tell(parcel)
    assert all(viewer.take() is parcel for viewer in viewers)
    audience.leave(viewers[0])
    audience.leave(viewers[0])
    assert len(audience) == 2


def test_a_closed_viewer_hands_out_what_waits_and_then_nothing() -> None:
    async def run() -> list[Parcel | None]:
        viewer = _ready(2)
        viewer.offer(_media(1))
        viewer.close()
        viewer.offer(_media(2))
        return [await viewer.next(), await viewer.next()]

    first, second = asyncio.run(run())
    assert first is not None
    assert (first.media, second) == (b"\x01", None)


def _stalled(port: int) -> socket.socket:
    """A viewer that shakes hands and then never reads."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    raw.connect(("127.0.0.1", port))
    return raw


def test_a_stalled_a_vanishing_and_a_raving_viewer_cost_the_others_nothing(tmp_path: Path) -> None:
    with (
        serve(tmp_path, viewer_chunks=2, send_seconds=0.5, send_buffer=4096) as server,
        server.live() as good,
    ):
        good.say("session.start", prompt=PROMPT, width=96, height=48)
        take_id = good.until("video.start")["take_id"]
        address = f"ws://127.0.0.1:{server.port}/v1/realtime/video"
        hello = json.dumps({"type": "session.start", "take_id": take_id, "role": "watch"})
        stalled = connect(address, sock=_stalled(server.port), compression=None, max_queue=1).__enter__()
        stalled.send(hello)
        vanishing = connect(address, compression=None).__enter__()
        vanishing.send(hello)
        vanishing.recv()
        raving = connect(address, compression=None).__enter__()
        raving.send(hello)
        wait_for(lambda: server.service.screenings[take_id].viewers == 4)
        vanishing.socket.close()
        seen = [good.chunk()["generation_chunk_index"]]
        for number in range(12):
            raving.send(b"\x00garbage" * 50)
            raving.send("{" * 300)
            if number % 4 == 0:
                seen.append(good.chunk()["generation_chunk_index"])
        metrics = server.service.metrics
        wait_for(lambda: metrics.dropped._value.get() >= 1, 30)
        seen.append(good.chunk()["generation_chunk_index"])
        assert seen == [*range(seen[0], seen[0] + len(seen))], "no chunk is missing"
        raving.socket.close()
        stalled.socket.close()
        wait_for(lambda: server.service.screenings[take_id].viewers == 1)
        good.say("session.stop")
        assert good.until("session.done")["reason"] == "stopped"
        wait_for(lambda: server.service.admission.running == 0 and metrics.viewers._value.get() == 0)
