"""The live connection, over a real socket, with a tiny random model."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator

import av
import jsonschema_rs
import numpy as np
import pytest
from PIL import Image

from longtake.studio.replies import REPLIES
from tests.studio.serving import PROMPT, Live, Running, pictures, serve, wait_for

BLUE = "a blue cube"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(tmp_path_factory.mktemp("home"), idle_seconds=0.3, hello_seconds=5) as running:
        yield running


def _frames(movie: bytes) -> int:
    with av.open(io.BytesIO(movie), format="mp4") as container:
        return sum(1 for _ in container.decode(video=0))


def _start(live: Live, **fields: object) -> dict[str, object]:
    live.say("session.start", **{"prompt": PROMPT, "seed": 7, **fields})
    return live.until("video.start")


def _at_rest(server: Running) -> None:
    wait_for(lambda: server.service.admission.running == 0)


def test_a_take_is_announced_plays_and_is_done_at_its_length(server: Running) -> None:
    with server.live() as live:
        start = _start(live, num_frames=20)
        assert start["mime"] == 'video/mp4; codecs="avc1.64000a"'
        assert start["config"]["num_frames"] == 20
        done = live.until("session.done")
        assert (done["reason"], done["seconds"], done["stopped"]) == ("complete", 2.5, False)
        assert _frames(b"".join(live.media)) == 20
    _at_rest(server)


def test_every_message_follows_the_published_schema(server: Running) -> None:
    heard = []
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, seed=1)
        while not any(message["type"] == "session.stats" for message in heard):
            heard.append(live.hear())
        live.say("session.ping", nonce="n")
        live.say("session.interaction", interaction={"event": {"prompt": BLUE}, "transition": 1})
        live.say("session.pause")
        live.say("session.resume")
        live.say("bogus")
        live.say("session.rewind", at=0.7)
        heard.append(live.until("session.rewound"))
        heard += [live.hear() for _ in range(4)]
        live.say("session.branch", at=0.7, prompt=BLUE)
        heard.append(live.until("session.branched"))
        heard += [live.hear() for _ in range(4)]
        live.say("session.stop")
        while heard[-1]["type"] != "session.done":
            heard.append(live.hear())
    for message in heard:
        jsonschema_rs.validate(REPLIES[message["type"]], message)
    assert {"video.start", "session.stats", "session.rewound", "session.branched", "session.done"} <= {
        message["type"] for message in heard
    }
    _at_rest(server)


def test_a_direction_is_accepted_and_then_applied_at_the_chunk_that_shows_it(server: Running) -> None:
    with server.live() as live:
        _start(live)
        live.chunk()
        live.say("session.interaction", interaction={"event_id": "e1", "event": {"prompt": BLUE}})
        accepted = live.until("session.interaction.queued", event_id="e1")
        applied = live.until("session.receipt", event_id="e1")
        chunk = live.chunk()
        assert applied["status"] == "applied"
        assert applied["chunk"] >= accepted["chunk"] > 0
        assert (chunk["media_time"], chunk["completed_event_ids"]) == (applied["media_time"], ["e1"])
        assert chunk["active_event_ids"] == ["e1"]
        live.say("session.stop")
        live.until("session.done", reason="stopped")
    _at_rest(server)


def test_the_latest_direction_wins(server: Running) -> None:
    with server.live() as live:
        _start(live)
        live.chunk()
        live.say("session.pause")
        live.until("session.paused")
        for event_id in ("first", "second"):
            live.say(
                "session.interaction",
                interaction={"event_id": event_id, "event": {"prompt": f"a {event_id}"}},
            )
        live.say("session.resume")
        receipts = [live.until("session.receipt", prompt=f"a {name}") for name in ("first", "second")]
        assert [receipt["status"] for receipt in receipts] == ["superseded", "applied"]
    _at_rest(server)


def test_a_transition_has_a_beginning_and_an_end(server: Running) -> None:
    with server.live() as live:
        _start(live)
        live.chunk()
        interaction = {"event_id": "t", "event": {"prompt": BLUE}, "transition_chunks": 2}
        live.say("session.interaction", interaction=interaction)
        begun = live.until("session.receipt", event_id="t")
        applied = live.until("session.receipt", event_id="t", timeout=30)
        assert (begun["status"], applied["status"]) == ("begun", "applied")
        assert applied["media_time"] - begun["media_time"] >= 2.0 - 1e-6
    _at_rest(server)


def test_generation_stays_within_its_lead_and_a_direction_lands_soon(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with (
        serve(tmp_path_factory.mktemp("paced"), least_lead=0.5, most_lead=1.0) as paced,
        paced.live() as live,
    ):
        _start(live)
        live.chunk()
        live.say("session.playback", media_time=0.0, is_playing=False)
        time.sleep(1.5)
        assert paced.service.library.list()[0].seconds <= 0.625 + 1.0 + 1.0, "the player stands still"
        live.say("session.interaction", interaction={"event": {"prompt": BLUE}})
        live.until("session.interaction.queued")
        live.say("session.playback", media_time=0.0, is_playing=True)
        live.until("session.receipt", prompt=BLUE)
        assert live.until("session.stats")["steer_seconds"] <= 1.0 + 1.0, "the lead, and the chunk under way"


def test_pause_holds_and_resume_goes_on(server: Running) -> None:
    with server.live() as live:
        _start(live)
        live.chunk()
        live.say("session.pause")
        live.until("session.paused")
        assert server.http().get("/v1/takes?limit=1").json()["data"][0]["status"] == "paused"
        live.say("session.resume")
        live.until("session.resumed")
        live.chunk()
    _at_rest(server)


def test_rewind_drops_what_came_after_and_goes_on_there(server: Running) -> None:
    with server.live() as live:
        start = _start(live)
        while live.chunk()["media_time"] < 1.6:
            pass
        live.say("session.rewind", at=1.2)
        rewound = live.until("session.rewound")
        assert (rewound["media_time"], rewound["epoch"]) == (0.625, 1)
        after = live.chunk()
        assert (after["media_time"], after["epoch"]) == (0.625, 1)
        assert after["generation_chunk_index"] == rewound["chunk"]
        live.say("session.stop")
        done = live.until("session.done")
    take = server.http().get(f"/v1/takes/{start['take_id']}").json()
    assert take["seconds"] == done["seconds"]
    assert [segment["index"] for segment in take["segments"]] == [*range(take["chunks"])]
    _at_rest(server)


def test_branch_keeps_the_old_take_and_goes_on_with_another(server: Running) -> None:
    with server.live() as live:
        old = _start(live)["take_id"]
        while live.chunk()["media_time"] < 1.6:
            pass
        live.say("session.branch", at=1.2, prompt=BLUE)
        branched = live.until("session.branched")
        start = live.until("video.start")
        chunk = live.chunk()
        assert branched["parent"] == {"take_id": old, "at": 0.625}
        assert start["take_id"] == branched["take_id"] != old
        assert (chunk["media_time"], chunk["epoch"]) == (0.625, branched["epoch"])
        live.say("session.stop")
        live.until("session.done", take_id=branched["take_id"])
    with server.http() as http:
        family = http.get(f"/v1/takes/{branched['take_id']}/tree").json()["root"]
        assert family["take_id"] == old
        assert [child["take_id"] for child in family["children"]] == [branched["take_id"]]
        assert http.get(f"/v1/takes/{old}").json()["seconds"] > 1.6
    _at_rest(server)


def test_who_comes_back_gets_what_was_missed_and_then_what_is_made(server: Running) -> None:
    with server.live() as live:
        take_id = _start(live)["take_id"]
        whole = [live.chunk() for _ in range(3)]
        media = live.media[1:4]
    wait_for(lambda: not server.service.screenings)  # nobody watched
    with server.live() as live:
        live.say("session.start", take_id=take_id, **{"from": 0.7})
        start = live.until("video.start")
        assert start["media_time"] == 0.625
        back = [live.chunk() for _ in range(4)]
        assert [one["generation_chunk_index"] for one in back] == [1, 2, 3, 4]
        assert pictures(live.media[1:3]) == pictures(media[1:3]), "the same bytes"
        assert whole[1]["media_time"] == back[0]["media_time"]
    _at_rest(server)


def test_another_viewer_sees_the_same_take_without_a_second_generation(server: Running) -> None:
    with server.live() as first, server.live() as second:
        take_id = _start(first)["take_id"]
        first.chunk()
        second.say("session.start", take_id=take_id, role="watch", **{"from": 0})
        assert second.until("video.start")["role"] == "watch"
        seen = [second.chunk() for _ in range(3)]
        [first.chunk() for _ in range(2)]
        assert pictures(second.media[1:3]) == pictures(first.media[1:3])
        assert [one["generation_chunk_index"] for one in seen] == [0, 1, 2]
        assert server.service.admission.running == 1
        second.say("session.stop")
        assert second.until("error")["error"]["type"] == "forbidden"
    _at_rest(server)


def test_what_a_take_remembers_is_shown_while_it_is_made(server: Running) -> None:
    def remembered() -> float:
        (line,) = (
            one for one in server.http().get("/metrics").text.splitlines() if "longtake_kv_cache" in one[:18]
        )
        return float(line.split()[1])

    assert remembered() == 0
    with server.live() as live:
        _start(live)
        live.chunk()
        assert remembered() > 0
        live.say("session.stop")
        live.until("session.done")
    _at_rest(server)
    assert remembered() == 0


def test_a_take_that_nobody_watches_rests(server: Running) -> None:
    with server.live() as live:
        take_id = _start(live)["take_id"]
        live.chunk()
    _at_rest(server)
    assert server.http().get(f"/v1/takes/{take_id}").json()["status"] == "stopped"


def test_pictures_of_a_client_become_a_take(server: Running) -> None:
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, video_reference={"live": True}, strength=0.8)
        live.until("video.start")
        for shade in range(12):
            picture = io.BytesIO()
            Image.fromarray(np.full((24, 40, 3), 20 * shade, np.uint8)).save(picture, "JPEG")
            live.socket.send(picture.getvalue())
        chunk = live.chunk()
        assert chunk["source_frames"][0] <= chunk["source_frames"][1] <= 12
        live.socket.send(b"no picture")
        assert live.until("error")["error"]["type"] == "invalid_request"
        live.socket.send(picture.getvalue())
        assert live.until("session.stats")["pictures"]["received"] >= 12
    _at_rest(server)


def _picture(shade: int) -> bytes:
    picture = io.BytesIO()
    Image.fromarray(np.full((24, 40, 3), shade, np.uint8)).save(picture, "JPEG")
    return picture.getvalue()


def test_a_take_of_live_pictures_goes_on_with_those_that_come_now(server: Running) -> None:
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, video_reference={"live": True}, strength=0.8)
        start = live.until("video.start")
        assert start["config"]["takes_pictures"]
        live.socket.send(_picture(40))
        made = [live.chunk() for _ in range(3)]
    _at_rest(server)
    with server.live() as live:
        live.say("session.start", take_id=start["take_id"], **{"from": made[-1]["media_time"]})
        assert live.until("video.start")["config"]["takes_pictures"]
        seen = live.chunk()["generation_chunk_index"]
        live.socket.send(_picture(200))
        while (chunk := live.chunk())["source_frames"] is None:
            seen = chunk["generation_chunk_index"]
        assert (chunk["generation_chunk_index"], chunk["source_frames"][0]) == (seen + 1, 0)
        live.say("session.branch", at=made[1]["media_time"], prompt=BLUE)
        assert live.until("video.start")["config"]["takes_pictures"]
        live.socket.send(_picture(90))
        assert live.chunk()["media_time"] == made[1]["media_time"]
        live.say("session.stop")
        live.until("session.done")
    _at_rest(server)
    take = server.http().get(f"/v1/takes/{start['take_id']}").json()
    assert take["can_be_replayed"], "its pictures are kept"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("{", "invalid_request"),
        ("[]", "invalid_request"),
        ('{"type": "session.start"}', "invalid_request"),
        ('{"type": "session.start", "prompt": " "}', "invalid_request"),
        ('{"type": "session.start", "prompt": "a", "model": "none"}', "invalid_request"),
        ('{"type": "session.start", "prompt": "a", "width": 33}', "invalid_request"),
        ('{"type": "session.start", "prompt": "a", "fps": 30}', "invalid_request"),
        ('{"type": "session.start", "prompt": "a", "output_path": "/tmp/x"}', "invalid_request"),
        (
            '{"type": "session.start", "prompt": "a", "image_reference": "http://127.0.0.1/"}',
            "invalid_request",
        ),
        ('{"type": "session.start", "take_id": "00000000-0000-4000-8000-000000000000"}', "not_found"),
        ('{"type": "session.pause"}', "invalid_request"),
    ],
)
def test_what_cannot_be_begun_is_refused_in_words(server: Running, message: str, kind: str) -> None:
    with server.live() as live:
        live.socket.send(message)
        assert live.until("error")["error"]["type"] == kind
    _at_rest(server)


def test_a_connection_that_says_nothing_is_closed(server: Running) -> None:
    with server.live() as live:
        error = live.until("error")
        assert (error["error"]["type"], error["fatal"]) == ("timeout", True)
    assert json.loads(server.http().get("/v1/status").text)["capacity"]["running"] == 0


def test_a_take_goes_on_from_a_clip_that_was_uploaded(server: Running) -> None:
    movie = io.BytesIO()
    with av.open(movie, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for shade in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), 5 * shade, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with server.http() as http:
        upload = http.post("/v1/uploads", files={"file": ("clip.mp4", movie.getvalue())}).json()
        assert http.get("/v1/models").json()["data"][0]["goes_on_from_clips"]
    with server.http() as http, server.live() as live:
        start = _start(live, clip_reference={"upload": upload["id"]}, num_frames=29)
        done = live.until("session.done")
        assert (done["reason"], done["seconds"]) == ("complete", 29 / 8)
        take = http.get(f"/v1/takes/{start['take_id']}").json()
        assert take["can_be_replayed"]
    _at_rest(server)
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, clip_reference={"upload": upload["id"]}, strength=0.5)
        assert live.until("error")["error"]["type"] == "invalid_request"
    _at_rest(server)
