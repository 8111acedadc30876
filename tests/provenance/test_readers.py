"""What other readers of C2PA's live video ask of a stream: ours keeps to it, and what does not is reported.

What the Common Media Library (`@svta/cml-c2pa` 1.1.2) and the live video of c2pa-rs ask for; where the former does not
look (the event's value and number, the time of signing, the fragment's number), the latter alone. Boxes are put
together by hand here.
"""

from __future__ import annotations

import datetime
import hashlib
import struct
import time
from dataclasses import dataclass
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from longtake import boxes
from longtake.provenance.credentials import Credentials
from longtake.provenance.live import LiveSigner
from longtake.provenance.manifest import Claim
from longtake.provenance.session import SessionKey
from longtake.provenance.stream import StreamVerifier
from tests.provenance.parts import Parts
from tests.provenance.receiver import receiver

SCHEME = b"urn:c2pa:verifiable-segment-info"
EXCLUDED = [{"xpath": "/emsg", "data": [{"offset": 12, "value": SCHEME}]}]


@dataclass(frozen=True, kw_only=True)
class Hand:
    """Signs segments of a stream with its key, and with whatever is said otherwise."""

    private: Ed25519PrivateKey
    verifier: StreamVerifier

    def sign(
        self,
        segment: bytes,
        *,
        said: dict[str, Any] | None = None,
        header: dict[Any, Any] | None = None,
        value: bytes = b"fseg",
        count: int = 1,
    ) -> bytes:
        size = len(self._event(bytes(32), said, header, value, count))
        digest = hashlib.sha256()
        for box in boxes.boxes(segment):
            digest.update(struct.pack(">Q", size + box.start) + segment[box.start : box.end])
        return self._event(digest.digest(), said, header, value, count) + segment

    def _event(self, digest: bytes, said: Any, header: Any, value: bytes, count: int) -> bytes:
        bound = {"exclusions": EXCLUDED, "alg": "sha256", "hash": digest, "name": "jumbf manifest"}
        info = {"sequenceNumber": 1, "bmffHash": bound, "manifestId": self.verifier.manifest, **(said or {})}
        payload = cbor2.dumps(info)
        protected = cbor2.dumps({1: -8, **(header or {})})
        signature = self.private.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
        message = cbor2.dumps(
            cbor2.CBORTag(18, [protected, {4: self.verifier.keys[0].key_id}, payload, signature])
        )
        body = bytes(4) + SCHEME + b"\0" + value + b"\0" + struct.pack(">IIII", 16384, 0, 4096, count)
        return struct.pack(">I4s", 8 + len(body) + len(message), b"emsg") + body + message


@pytest.fixture
def hand(unsigned: Parts, claim: Claim, signer: Credentials) -> Hand:
    private = Ed25519PrivateKey.generate()
    live = LiveSigner(unsigned.init, claim, signer, key=private)
    return Hand(private=private, verifier=receiver(live.init, late=True))


def assertion(private: Ed25519PrivateKey, leaf: bytes) -> dict[str, Any]:
    key = SessionKey(
        public=private.public_key(),
        key_id=b"name",
        first=1,
        created=datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
        valid_seconds=3600,
    )
    return key.assertion(private, leaf)


def test_the_session_key_is_written_as_the_readers_take_it_apart(signer: Credentials) -> None:
    private, leaf = Ed25519PrivateKey.generate(), signer.chain_der[0]
    said = assertion(private, leaf)
    (entry,) = said["keys"]
    x = private.public_key().public_bytes_raw()
    assert entry["key"] == {1: 1, 2: b"name", 3: -8, -1: 6, -2: x}
    assert {type(entry[name]) for name in ("minSequenceNumber", "validityPeriod")} == {int}
    assert (entry["createdAt"].tag, entry["createdAt"].value) == (0, "2026-11-01T00:00:00Z")
    protected, unprotected, payload, signature = entry["signerBinding"].value
    assert (entry["signerBinding"].tag, unprotected, payload) == (18, {}, None), "tagged, in place, detached"
    assert cbor2.loads(protected) == {1: -8}
    private.public_key().verify(signature, cbor2.dumps(["Signature1", protected, b"", cbor2.dumps(leaf)]))
    assert set(entry) == {"key", "minSequenceNumber", "createdAt", "validityPeriod", "signerBinding"}


def test_a_tie_that_brings_its_certificate_or_ties_the_bare_bytes_is_none(signer: Credentials) -> None:
    private, leaf = Ed25519PrivateKey.generate(), signer.chain_der[0]
    for payload, carried in ((cbor2.dumps(leaf), cbor2.dumps(leaf)), (leaf, leaf), (leaf, None)):
        said = assertion(private, leaf)
        protected = cbor2.dumps({1: -8})
        signature = private.sign(cbor2.dumps(["Signature1", protected, b"", payload]))
        said["keys"][0]["signerBinding"] = cbor2.CBORTag(18, [protected, {}, carried, signature])
        with pytest.raises(ValueError, match="bound to another certificate"):
            SessionKey.read(cbor2.loads(cbor2.dumps(said)), leaf)


@pytest.mark.parametrize(
    ("name", "value"), [("validityPeriod", 0), ("validityPeriod", -1), ("minSequenceNumber", -1)]
)
def test_a_key_that_signs_nothing_is_damaged(signer: Credentials, name: str, value: int) -> None:
    said = assertion(Ed25519PrivateKey.generate(), signer.chain_der[0])
    said["keys"][0][name] = value
    with pytest.raises(ValueError, match="damaged"):
        SessionKey.read(cbor2.loads(cbor2.dumps(said)), signer.chain_der[0])


def test_every_key_has_a_name_of_its_own(signer: Credentials) -> None:
    leaf = signer.chain_der[0]
    keys = [assertion(Ed25519PrivateKey.generate(), leaf)["keys"][0] for _ in range(2)]
    with pytest.raises(ValueError, match="two session keys of one name"):
        SessionKey.read(cbor2.loads(cbor2.dumps({"keys": keys})), leaf)
    keys[0]["key"][2] = b""
    with pytest.raises(ValueError, match="damaged"):
        SessionKey.read(cbor2.loads(cbor2.dumps({"keys": keys[:1]})), leaf)


def test_a_segment_put_together_by_hand_is_ours(hand: Hand, unsigned: Parts) -> None:
    segment = unsigned.segments[0]
    assert hand.verifier.check(hand.sign(segment, header={"iat": int(time.time()) + 1})) == []


def test_the_number_that_is_signed_is_the_one_of_the_fragment(hand: Hand, unsigned: Parts) -> None:
    moved = boxes.place(unsigned.segments[0], sequence=2, decode_time=0)
    (found,) = hand.verifier.check(hand.sign(moved))
    assert found.what.endswith("is signed with another number than its own")


def test_a_number_from_before_the_key_is_reported(unsigned: Parts, claim: Claim, signer: Credentials) -> None:
    """To a viewer who joins late too, for whom any number may come first."""
    private = Ed25519PrivateKey.generate()
    live = LiveSigner(unsigned.init, claim, signer, first=2, key=private)
    hand = Hand(private=private, verifier=receiver(live.init, late=True))
    (found,) = hand.verifier.check(hand.sign(unsigned.segments[0], count=0))
    assert found.what.endswith("has a number from before the first of its key")


def test_a_segment_that_does_not_say_when_it_was_signed_is_taken_as_of_now(
    hand: Hand, unsigned: Parts
) -> None:
    """The time may be left out, which does not make a key sign for ever."""
    segment = hand.sign(unsigned.segments[0])
    assert hand.verifier.check(segment) == []
    for later in (-3600, 400 * 24 * 3600):
        hand.verifier.last, hand.verifier.clock = None, lambda later=later: time.time() + later
        (found,) = hand.verifier.check(segment)
        assert found.what.endswith("was signed when its key was not valid")


def test_the_time_of_signing_is_a_number(hand: Hand, unsigned: Parts) -> None:
    segment, now = unsigned.segments[0], time.time() + 1
    assert hand.verifier.check(hand.sign(segment, header={"iat": now})) == []
    hand.verifier.last = None
    for moment in (str(now), True, None, [now], cbor2.CBORTag(1, int(now))):
        (found,) = hand.verifier.check(hand.sign(segment, header={"iat": moment}))
        assert found.what.endswith("has a damaged signature"), moment
    (found,) = hand.verifier.check(hand.sign(segment, header={"iat": float("nan")}))
    assert found.what.endswith("was signed when its key was not valid")


def test_an_event_of_another_value_is_none_of_c2pa(hand: Hand, unsigned: Parts) -> None:
    (found,) = hand.verifier.check(hand.sign(unsigned.segments[0], value=b"c2pa"))
    assert found.what.endswith("has a damaged signature")


def test_the_signature_of_a_segment_brings_what_it_covers(hand: Hand, unsigned: Parts) -> None:
    other = {"manifestId": "urn:c2pa:00000000-0000-4000-8000-000000000000"}
    (found,) = hand.verifier.check(hand.sign(unsigned.segments[0], said=other))
    assert found.what.endswith("belongs to another stream")
    (found,) = hand.verifier.check(hand.sign(unsigned.segments[0], said={"bmffHash": None}))
    assert found.what.endswith("was changed after it was signed")


def test_events_are_numbered_from_one(unsigned: Parts, claim: Claim, signer: Credentials) -> None:
    """c2pa-rs takes no event 0, and none twice."""
    live = LiveSigner(unsigned.init, claim, signer, first=3)
    start = 12 + len(SCHEME) + 1 + len(b"fseg\0") + 12
    counts = [struct.unpack_from(">I", live.sign(segment), start)[0] for segment in unsigned.segments[2:]]
    assert counts == [1, 2, 3]
