"""The messages of a live connection: what is refused, and that nothing a client says breaks or hangs the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from longtake.studio.errors import Refused
from longtake.studio.protocol import CLIENT, parse, read_data_url
from tests.studio.serving import PROMPT, Running, serve

TAKE = "5f0cabcd-0000-4000-8000-000000000000"
TYPES = [*CLIENT.json_schema()["discriminator"]["mapping"]]

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
_fields = st.sampled_from(
    [
        "prompt",
        "seed",
        "at",
        "media_time",
        "take_id",
        "branch",
        "interaction",
        "cues",
        "from",
        "width",
        "nonce",
        "role",
    ]
)
_near = st.builds(
    lambda kind, fields: json.dumps({"type": kind, **fields}),
    st.sampled_from([*TYPES, "session.unknown"]),
    st.dictionaries(_fields, _json, max_size=4),
)
_well_formed = st.sampled_from(
    [
        {
            "type": "session.interaction",
            "interaction": {"event": {"prompt": "a blue cube"}, "transition_chunks": 1},
        },
        {"type": "session.pause"},
        {"type": "session.resume"},
        {"type": "session.rewind", "at": 0.7},
        {"type": "session.rewind", "at": 1e9},
        {"type": "session.playback", "media_time": 1.5, "is_playing": True},
        {"type": "session.playback", "media_time": 0, "is_playing": False},
        {"type": "session.ping"},
        {"type": "session.start", "prompt": PROMPT},
        {"type": "session.start", "take_id": TAKE},
    ]
).map(json.dumps)
_anything = st.one_of(
    _near, _well_formed, _json.map(json.dumps), st.text(max_size=200), st.binary(max_size=200)
)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"take_id": TAKE, "prompt": "a"}, "leave out prompt"),
        ({"prompt": "a", "cues": [{"prompt": "a", "at": 0}]}, "exactly one of prompt and cues"),
        ({"branch": {"take_id": TAKE, "at": 1}, "seed": 3}, "leave out seed"),
        ({"prompt": "a", "from": 3}, "leave out from"),
        ({"prompt": "a", "role": "watch"}, "role watch"),
        ({"prompt": "a", "seed": "7"}, "seed"),
        ({"prompt": "a", "seed": True}, "seed"),
        ({"prompt": "a", "extra_params": {"x": 1}}, "extra_params"),
        ({"prompt": "a", "output_path": "x"}, "output_path"),
    ],
    ids=str,
)
def test_a_start_that_contradicts_itself_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        parse(json.dumps({"type": "session.start", **fields}))


def test_fields_that_are_null_are_not_given() -> None:
    parse(json.dumps({"type": "session.start", "take_id": TAKE, "prompt": None, "seed": None}))


@pytest.mark.parametrize(
    "url", ["http://x/a.png", "file:///etc/passwd", "data:text/html;base64,AA==", "data:image/png,x"]
)
def test_addresses_are_not_fetched(url: str) -> None:
    with pytest.raises(Refused, match="not fetched"):
        read_data_url(url, 1000)


def test_a_data_image_is_read_within_its_limit() -> None:
    assert read_data_url("data:image/png;base64,QUJD", 1000) == b"ABC"
    for url in ("data:image/png;base64," + "A" * 4000, "data:image/png;base64,!!!!"):
        with pytest.raises(Refused):
            read_data_url(url, 1000)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(_near, _json.map(json.dumps), st.text(), st.binary(max_size=300)))
def test_whatever_is_said_is_understood_or_refused_in_one_line(text: str | bytes) -> None:
    try:
        parse(text)
    except Refused as refused:
        assert "\n" not in refused.message
        assert 0 < len(refused.message) < 700


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    with serve(
        home, starts_a_minute=10**6, idle_seconds=0.1, max_takes=64, least_lead=1, most_lead=1
    ) as running:
        yield running


def _converse(server: Running, sessions: int, messages: int) -> None:
    """Say drawn things in the middle of a take; the connection still answers, or is closed with a reason."""

    @settings(max_examples=sessions, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(said=st.lists(_anything, min_size=messages, max_size=messages), begins=st.booleans())
    def talk(said: list[str | bytes], begins: bool) -> None:
        with server.live() as live:
            if begins:
                live.say("session.start", prompt=PROMPT, num_frames=200)
                live.until("video.start")
            try:
                for message in said:
                    live.socket.send(message)
                live.say("session.ping", nonce="still there")
                live.until("session.pong", nonce="still there", timeout=30)
            except ConnectionClosed as closed:
                assert closed.rcvd is not None
                assert closed.rcvd.code in {1000, 4400, 4403, 4404, 4408, 4409}, closed

    talk()
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, num_frames=5)
        assert live.until("session.done")["reason"] == "complete"


def test_nothing_that_is_said_breaks_a_session(server: Running) -> None:
    _converse(server, sessions=8, messages=40)


@pytest.mark.soak
def test_nothing_of_five_thousand_messages_breaks_a_session(server: Running) -> None:
    _converse(server, sessions=60, messages=100)
