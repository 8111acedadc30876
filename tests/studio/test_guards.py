"""Who may do what, over a real socket: foreign sites, names that are not ours, tokens, ids, bodies."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from longtake.errors import UserError
from longtake.studio.config import Config, read_tokens
from longtake.studio.tokens import StreamTokens
from tests.studio.serving import PROMPT, TOKEN, Running, serve

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    with serve(home, tokens=("another-token-here", TOKEN), allowed_hosts=("studio.example",)) as running:
        running.token = TOKEN
        yield running


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(
        tmp_path_factory.mktemp("open"), json_bytes=2048, body_seconds=1, upload_bytes=4096
    ) as running:
        yield running


def _kind(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["type"])


@pytest.mark.parametrize(
    "path", ["/v1/status", "/v1/takes", "/metrics", "/openapi.json", "/asyncapi.json", "/x"]
)
@pytest.mark.parametrize(
    "header", [None, "Bearer wrong-token-wrong-token", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x"]
)
def test_without_the_token_nothing_is_told(server: Running, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = httpx.get(server.url + path, headers=headers)
    assert (answer.status_code, _kind(answer)) == (401, "unauthorised")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_health_needs_no_token_and_each_token_will_do(server: Running) -> None:
    assert httpx.get(server.url + "/healthz").json() == {"status": "ok"}
    assert httpx.get(server.url + "/readyz").status_code == 200
    for token in (TOKEN, "another-token-here"):
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(server.url + "/v1/status", headers=headers).json()["auth"] == "token"


def test_the_token_is_looked_at_before_the_body_is_read(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.putrequest("POST", "/v1/videos")
    connection.putheader("Content-Length", "1000000")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.endheaders(b"only a little")
    assert connection.getresponse().status == 401
    connection.close()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "studio.example.evil",
        "",
        "a b",
        "10.0.0.1",
    ],
)
def test_a_name_that_is_not_ours_is_refused(server: Running, host: str) -> None:
    answer = httpx.get(server.url + "/healthz", headers={"Host": host})
    assert answer.status_code in (400, 421)
    with pytest.raises(InvalidStatus) as refused, server.live(headers={**server.headers, "Host": host}):
        pass
    assert refused.value.response.status_code in (400, 421)


@pytest.mark.parametrize(
    "host", ["localhost:1", "127.0.0.1", "[::1]:80", "STUDIO.example:8000", "studio.example."]
)
def test_a_name_that_is_ours_is_taken(server: Running, host: str) -> None:
    assert httpx.get(server.url + "/healthz", headers={"Host": host}).status_code == 200


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "file://"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "OURS"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_can_neither_write_nor_connect(open_server: Running, headers: dict[str, str]) -> None:
    headers = {key: open_server.url if value == "OURS" else value for key, value in headers.items()}
    with open_server.http() as client:
        before = len(client.get("/v1/videos").json()["data"])
        for body in (
            {"data": {"prompt": PROMPT}},
            {"json": {"prompt": PROMPT}},
            {"files": {"prompt": (None, PROMPT)}},
        ):
            answer = client.post("/v1/videos", headers=headers, **body)  # type: ignore[arg-type]
            assert (answer.status_code, _kind(answer)) == (403, "forbidden")
        assert client.delete(f"/v1/takes/{NOBODY}", headers=headers).status_code == 403
        assert client.post("/v1/tokens", headers=headers, json={}).status_code == 403
        assert len(client.get("/v1/videos").json()["data"]) == before
    with pytest.raises(InvalidStatus) as refused, open_server.live(headers=headers):
        pass
    assert refused.value.response.status_code == 403


def test_our_own_page_and_a_client_that_is_no_browser_may_write(open_server: Running) -> None:
    own = {"Origin": open_server.url, "Sec-Fetch-Site": "same-origin"}
    with open_server.http() as client:
        for headers in (own, {}, {"Sec-Fetch-Site": "none"}):
            answer = client.post("/v1/tokens", headers=headers, json={"scope": "direct"})
            assert answer.status_code == 201
    with open_server.live(headers=own) as live:
        live.say("session.ping", nonce="n")
        assert live.until("session.pong")["nonce"] == "n"


def test_no_answer_lets_another_site_read_it(open_server: Running) -> None:
    answer = open_server.http().get("/v1/status", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def _mint(server: Running, **asked: Any) -> str:
    answer = server.http().post("/v1/tokens", json=asked)
    assert answer.status_code == 201
    return str(answer.json()["token"])


def _browser(server: Running, token: str) -> Any:
    return server.live(headers={}, subprotocols=["longtake.v1", f"longtake.token.{token}"])


def test_a_stream_token_opens_its_own_take_only(server: Running) -> None:
    token = _mint(server, scope="direct")
    with _browser(server, token) as live:
        assert live.socket.subprotocol == "longtake.v1"
        live.say("session.start", prompt=PROMPT, num_frames=10)
        take_id = live.until("video.start")["take_id"]
        live.until("session.done")
    with _browser(server, token) as live:  # it is for that take now
        live.say("session.start", prompt=PROMPT)
        assert live.until("error")["error"]["type"] == "forbidden"
    other = _new_take(server)
    with _browser(server, token) as live:
        live.say("session.start", take_id=other)
        assert live.until("error")["error"]["type"] == "forbidden"
    watch = _mint(server, take_id=take_id, scope="watch")
    for path in ("thumbnail", "content", "stream.m3u8", "init.mp4", "segments/0.m4s"):
        assert httpx.get(f"{server.url}/v1/takes/{take_id}/{path}?token={watch}").status_code == 200
        assert httpx.get(f"{server.url}/v1/takes/{other}/{path}?token={watch}").status_code == 401
    assert httpx.get(f"{server.url}/v1/takes/{take_id}?token={watch}").status_code == 401
    assert httpx.delete(f"{server.url}/v1/takes/{take_id}?token={watch}").status_code == 401
    assert httpx.get(f"{server.url}/v1/takes/{take_id}/content?token={TOKEN}").status_code == 401
    playlist = httpx.get(f"{server.url}/v1/takes/{take_id}/stream.m3u8?token={watch}").text
    assert f"segments/0.m4s?token={watch}" in playlist
    with _browser(server, watch) as live:
        live.say("session.start", take_id=take_id)
        assert live.until("error")["error"]["type"] == "forbidden"


def _new_take(server: Running) -> str:
    with server.live() as live:
        live.say("session.start", prompt=PROMPT, num_frames=5)
        take_id = live.until("video.start")["take_id"]
        live.until("session.done")
        return str(take_id)


@pytest.mark.parametrize(
    "protocols", [[], ["longtake.v1"], ["longtake.token.wrong"], [f"longtake.token.{TOKEN}"]]
)
def test_a_browser_without_a_stream_token_is_refused(server: Running, protocols: list[str]) -> None:
    with pytest.raises(InvalidStatus) as refused, server.live(headers={}, subprotocols=protocols or None):
        pass
    assert refused.value.response.status_code == 401


def test_a_stream_token_ends() -> None:
    now = [0.0]
    tokens = StreamTokens(lambda: now[0], 60)
    token = tokens.mint("who", None, "watch")
    assert tokens.find(token) is not None
    now[0] = 60
    assert tokens.find(token) is None


@pytest.mark.parametrize(
    "id",
    [
        "..%2f..%2fetc%2fpasswd",
        "..",
        "%2e%2e",
        "1",
        NOBODY.upper(),
        f"{NOBODY}%00",
        "%00",
        "a" * 5000,
        "c:\\x",
        NOBODY[:8],
    ],
)
@pytest.mark.parametrize(
    "path",
    ["/v1/takes/{}", "/v1/takes/{}/content", "/v1/videos/{}", "/v1/uploads/{}", "/v1/takes/{}/init.mp4"],
)
def test_an_id_is_never_a_path(open_server: Running, path: str, id: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", open_server.port, timeout=5)
    connection.putrequest("GET", path.format(id))
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status in (400, 404, 405, 422)
    assert "root:" not in text
    assert "/tmp" not in text


def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(open_server: Running) -> None:
    with open_server.http() as client:
        long = json.dumps({"prompt": "a" * 4000})
        answer = client.post("/v1/videos", content=long, headers={"Content-Type": "application/json"})
        assert (answer.status_code, _kind(answer)) == (413, "too_large")

        def parts() -> Iterator[bytes]:
            yield b'{"prompt": "'
            for _ in range(100):
                yield b"a" * 1000

        for kind in ("application/json", "multipart/form-data; boundary=b"):
            answer = client.post("/v1/videos", content=parts(), headers={"Content-Type": kind})
            assert answer.status_code in (400, 413), answer.text
        file = {"file": b"\x89PNG\r\n\x1a\n" + bytes(100_000)}
        assert client.post("/v1/uploads", files=file).status_code == 413
        assert client.get("/v1/status").status_code == 200


def test_a_body_that_never_comes_is_not_waited_for(open_server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", open_server.port, timeout=10)
    connection.putrequest("POST", "/v1/videos")
    connection.putheader("Content-Length", "1000")
    connection.putheader("Content-Type", "application/json")
    connection.endheaders(b'{"prompt"')
    assert connection.getresponse().status == 408
    connection.close()


def test_nothing_is_logged_of_tokens_and_prompts(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        token = _mint(server, scope="direct")
        with _browser(server, token) as live:
            live.say("session.start", prompt=PROMPT, num_frames=5)
            take_id = live.until("video.start")["take_id"]
            live.until("session.done")
        httpx.get(f"{server.url}/v1/takes/{take_id}/content?token={token}")
    records = [
        str(vars(record)) for record in caplog.records if record.name.startswith(("longtake", "uvicorn"))
    ]
    assert any(record.name == "longtake.studio" for record in caplog.records), "takes are logged"
    assert not [text for text in records if token in text or TOKEN in text or PROMPT in text]


def test_a_public_address_needs_a_token(tmp_path: Any) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", ""):
        with pytest.raises(UserError, match="token"):
            Config(host=host)
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        assert Config(host=host).is_loopback
    config = Config(host="0.0.0.0", tokens=(TOKEN,))
    assert "unencrypted" in config.warnings[0]
    with pytest.raises(UserError, match="characters"):
        Config(tokens=("short",))
    with pytest.raises(UserError, match="keyfile"):
        Config(certfile=tmp_path)
    file = tmp_path / "tokens"
    file.write_text(f"# mine\n\n {TOKEN} \n")
    assert read_tokens(file) == (TOKEN,)
    file.write_text("# none\n")
    with pytest.raises(UserError, match="no token"):
        read_tokens(file)
    assert TOKEN not in repr(config)
