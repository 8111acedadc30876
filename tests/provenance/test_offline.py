"""Nothing is fetched. A server on this machine listens to where a manifest and a certificate point.

The library has sockets of its own, which a patch of Python's would not see; each test first shows that the library
does come when it is allowed to.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import c2pa
import pytest

from longtake.provenance.credentials import Credentials
from longtake.provenance.manifest import Claim, Relationship, Source
from longtake.provenance.sign import sign_file
from longtake.provenance.verify import verify
from tests.provenance.certificates import issue, new_key


@dataclass
class Server:
    """Answers 404 and remembers who came."""

    url: str
    visits: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.visits.append(self.path)
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = Server(f"http://127.0.0.1:{http.server_port}")
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield known
    http.shutdown()
    http.server_close()


def allowed_to_fetch(data: bytes) -> None:
    """Read a file with a library that may fetch what it likes."""
    settings = {"version": 1, "verify": {"remote_manifest_fetch": True, "ocsp_fetch": True}}
    try:
        with c2pa.Reader("video/mp4", io.BytesIO(data), context=c2pa.Context.from_dict(settings)):
            pass
    except c2pa.C2paError:
        pass


@pytest.fixture
def elsewhere(film: Path, server: Server, signer: Credentials) -> Path:
    """A film whose manifest lies on the server."""
    made = {"action": "c2pa.created", "digitalSourceType": "http://c2pa.org/digitalsourcetype/empty"}
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [made]}}
    builder = c2pa.Builder({"claim_generator_info": [{"name": "other"}], "assertions": [actions]})
    builder.set_no_embed()
    builder.set_remote_url(f"{server.url}/manifest.c2pa")
    info = c2pa.C2paSignerInfo(b"es256", signer.chain_pem, signer.key_pem, None)
    out = io.BytesIO()
    builder.sign(c2pa.Signer.from_info(info), "video/mp4", io.BytesIO(film.read_bytes()), out)
    path = film.with_name("elsewhere.mp4")
    path.write_bytes(out.getvalue())
    return path


def test_a_manifest_on_a_server_is_not_fetched(elsewhere: Path, server: Server) -> None:
    allowed_to_fetch(elsewhere.read_bytes())
    assert server.visits, "the library comes when it may, or this test proves nothing"
    server.visits.clear()
    assert not verify(elsewhere).valid
    assert server.visits == []


def test_a_source_whose_manifest_is_on_a_server_is_signed_without_it(
    film: Path, elsewhere: Path, server: Server, signer: Credentials
) -> None:
    source = Source(path=elsewhere, relationship=Relationship.PARENT)
    sign_file(film, Claim(model="mini", source=source), signer)
    assert verify(film).valid
    assert server.visits == []


def test_no_certificate_is_asked_after(film: Path, claim: Claim, server: Server) -> None:
    key = new_key()
    signer = Credentials(chain=issue(key, ocsp=f"{server.url}/ocsp"), key=key)
    sign_file(film, claim, signer)
    assert verify(film).valid
    assert server.visits == []
    allowed_to_fetch(film.read_bytes())
    assert server.visits, "the library comes when it may, or this test proves nothing"
