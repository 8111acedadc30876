"""A live stream as the specification asks for it, read here by hand, and as a viewer gets it."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import struct
import subprocess
import sys
import time
import tracemalloc

import c2pa
import cbor2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from longtake import boxes
from longtake.provenance.credentials import Credentials
from longtake.provenance.live import LiveSigner
from longtake.provenance.manifest import Claim, Relationship, Source
from tests.provenance.parts import Parts, pictures
from tests.provenance.receiver import receiver

SCHEME = b"urn:c2pa:verifiable-segment-info\0fseg\0"


def event(segment: bytes) -> tuple[tuple[int, ...], bytes]:
    """Times and message of the `emsg` that a segment begins with."""
    (size, kind, version), body = struct.unpack_from(">I4sI", segment), segment[12:]
    assert (kind, version) == (b"emsg", 0)
    assert body.startswith(SCHEME)
    return struct.unpack_from(">IIII", body, len(SCHEME)), body[len(SCHEME) + 16 : size - 12]


def library(init: bytes) -> dict:
    """What c2pa-python reads in the head of a stream."""
    with c2pa.Reader("video/mp4", io.BytesIO(init)) as reader:
        return json.loads(reader.json())


def test_the_library_of_c2pa_accepts_the_head(stream: Parts, claim: Claim) -> None:
    said = library(stream.init)
    failures = said["validation_results"]["activeManifest"]["failure"]
    assert said["validation_state"] == "Valid"
    assert [each["code"] for each in failures] == ["signingCredential.untrusted"]
    codes = {each["code"] for each in said["validation_results"]["activeManifest"]["success"]}
    assert {"claimSignature.validated", "assertion.bmffHash.match"} <= codes
    manifest = said["manifests"][said["active_manifest"]]
    labels = [each["label"] for each in manifest["assertions"]]
    assert labels == ["c2pa.hash.bmff.v3", "c2pa.actions.v2", "longtake.take", "c2pa.session-keys"]
    (action,) = manifest["assertions"][1]["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")


def test_a_source_is_an_ingredient_of_the_head(unsigned: Parts, signer: Credentials, tmp_path) -> None:
    for relationship, first in ((Relationship.INPUT, "c2pa.created"), (Relationship.PARENT, "c2pa.opened")):
        source = Source(path=tmp_path / "in.mp4", relationship=relationship)
        live = LiveSigner(unsigned.init, Claim(model="mini", source=source), signer)
        said = library(live.init)
        assert said["validation_state"] == "Valid"
        manifest = said["manifests"][said["active_manifest"]]
        assert [each["relationship"] for each in manifest["ingredients"]] == [relationship.value]
        actions = next(each for each in manifest["assertions"] if each["label"] == "c2pa.actions.v2")
        assert actions["data"]["actions"][0]["action"] == first


def test_every_segment_is_signed_as_specified(unsigned: Parts, claim: Claim, signer: Credentials) -> None:
    """COSE_Sign1 by the session key over the number, the hash and the manifest (C2PA 2.x, Live video)."""
    private = Ed25519PrivateKey.generate()
    live = LiveSigner(unsigned.init, claim, signer, key=private, clock=lambda: 1_700_000_000.9)
    label = library(live.init)["active_manifest"]
    for number, segment in enumerate(unsigned.segments, start=1):
        signed = live.sign(segment)
        (timescale, delta, duration, count), message = event(signed)
        assert (timescale, delta, duration, count) == (16384, 0, 2 * 2048, number)
        tag = cbor2.loads(message)
        protected, unprotected, payload, signature = tag.value
        assert tag.tag == 18
        assert cbor2.loads(protected) == {1: -8, "iat": 1_700_000_000}
        assert list(unprotected) == [4]
        private.public_key().verify(signature, cbor2.dumps(["Signature1", protected, b"", payload]))
        said = cbor2.loads(payload)
        assert (said["sequenceNumber"], said["manifestId"]) == (number, label)
        size = len(signed) - len(segment)
        moof, mdat = boxes.boxes(segment)
        digest = hashlib.sha256()
        for box in (moof, mdat):
            digest.update(struct.pack(">Q", size + box.start) + segment[box.start : box.end])
        assert said["bmffHash"] == {
            "exclusions": [{"xpath": "/emsg", "data": [{"offset": 12, "value": SCHEME.split(b"\0")[0]}]}],
            "alg": "sha256",
            "hash": digest.digest(),
            "name": "jumbf manifest",
        }


def test_the_session_key_and_the_certificate_name_each_other(
    unsigned: Parts, claim: Claim, signer: Credentials
) -> None:
    live = LiveSigner(unsigned.init, claim, signer, first=1, clock=lambda: 1_700_000_000.0)
    start = live.init.index(b"\xa1dkeys")
    (entry,) = cbor2.loads(live.init[start:])["keys"]
    assert entry["minSequenceNumber"] == 1
    assert entry["createdAt"] == datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC)
    protected, _, payload, signature = entry["signerBinding"].value
    assert payload is None
    bound = cbor2.dumps(["Signature1", protected, b"", cbor2.dumps(signer.chain_der[0])])
    Ed25519PublicKey.from_public_bytes(entry["key"][-2]).verify(signature, bound)


def test_a_stream_plays_as_before(unsigned: Parts, stream: Parts) -> None:
    assert np.array_equal(pictures(stream.film()), pictures(unsigned.film()))


def test_the_head_of_another_signer_does_not_fit_the_key(unsigned: Parts, stream: Parts) -> None:
    uuid = next(box for box in boxes.boxes(stream.init) if box.kind == b"uuid")
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    place = stream.init.index(b"\x21\x58\x20", uuid.start) + 3  # -2 in the key: 32 bytes
    changed = stream.init[:place] + other + stream.init[place + 32 :]
    with pytest.raises(ValueError, match="bound to another certificate"):
        receiver(changed)


def test_a_segment_before_the_first_is_our_own_mistake(
    unsigned: Parts, claim: Claim, signer: Credentials
) -> None:
    live = LiveSigner(unsigned.init, claim, signer, first=3)
    with pytest.raises(AssertionError, match="segment 2 comes before 3"):
        live.sign(unsigned.segments[1])


def test_a_segment_is_signed_again_for_who_asks_twice(
    unsigned: Parts, claim: Claim, signer: Credentials
) -> None:
    live = LiveSigner(unsigned.init, claim, signer)
    for segment in unsigned.segments:
        live.sign(segment)
    late = receiver(live.init, late=True)
    assert [late.check(live.sign(segment)) for segment in unsigned.segments[1:3]] == [[], []]


def test_a_stream_may_begin_at_any_number(unsigned: Parts, claim: Claim, signer: Credentials) -> None:
    live = LiveSigner(unsigned.init, claim, signer, first=3)
    verifier = receiver(live.init)
    assert [verifier.check(live.sign(segment)) for segment in unsigned.segments[2:]] == [[], [], []]
    early = LiveSigner(unsigned.init, claim, signer, first=1)
    assert receiver(live.init).check(early.sign(unsigned.segments[0]))


def test_what_was_signed_outside_the_time_of_the_key_is_reported(
    unsigned: Parts, claim: Claim, signer: Credentials
) -> None:
    now = [time.time()]
    live = LiveSigner(unsigned.init, claim, signer, clock=lambda: now[0])
    verifier = receiver(live.init)
    assert not verifier.check(live.sign(unsigned.segments[0]))
    now[0] += 400 * 24 * 3600
    (problem,) = verifier.check(live.sign(unsigned.segments[1]))
    assert problem.what == "segment 2 was signed when its key was not valid"


def test_a_clock_that_is_put_back_spoils_nothing(unsigned: Parts, claim: Claim, signer: Credentials) -> None:
    now = [time.time()]
    live = LiveSigner(unsigned.init, claim, signer, clock=lambda: now[0])
    now[0] -= 30
    assert not receiver(live.init).check(live.sign(unsigned.segments[0]))


def test_memory_stays_flat(unsigned: Parts, claim: Claim, signer: Credentials) -> None:
    live = LiveSigner(unsigned.init, claim, signer)
    verifier = receiver(live.init)

    def go_on(start: int, count: int) -> None:
        for number in range(start, start + count):
            segment = boxes.place(unsigned.segments[0], sequence=number, decode_time=number)
            assert not verifier.check(live.sign(segment))

    go_on(1, 50)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    go_on(51, 300)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000, "bytes that 300 segments have left behind"


def test_signing_a_stream_needs_no_native_library() -> None:
    """The signer is a few Python files: `c2pa` loads when a file is signed or checked."""
    code = "import sys, longtake.provenance.live; sys.exit('c2pa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_signer_is_named_in_the_head(stream: Parts, signer: Credentials) -> None:
    assert signer.chain[0].subject != signer.chain[1].subject
    assert signer.chain_der[0] in stream.init
    assert x509.load_der_x509_certificate(signer.chain_der[0]).issuer == signer.chain[1].subject
