"""Sign a live stream, segment by segment, while it is made.

After the C2PA Technical Specification 2.x, Live video, "verifiable segment info": the head of the stream carries a
manifest with a session key, and every segment an `emsg` box in which that key signs the segment's number, its hash
and the manifest's name. Numbers grow by one, so that a segment that is lost, repeated or moved shows. Nothing links
a segment to the bytes of the one before, which lets a viewer join at any segment; and nothing marks the last one,
so that a stream cut off between two segments looks like one that ended there.
"""

from __future__ import annotations

import datetime
import hashlib
import time
import uuid
from collections.abc import Callable

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from longtake import boxes
from longtake.provenance import content, cose, session
from longtake.provenance.credentials import Credentials
from longtake.provenance.event import Event
from longtake.provenance.init import sign_init
from longtake.provenance.manifest import Claim

_KEY_ID = 16  # bytes
VALID_SECONDS = 365 * 24 * 3600
"""How long a session key signs; no take goes on for longer."""


class LiveSigner:
    """Signs the segments of one stream; holds a key, whatever the length of the stream.

    A segment may be signed again, for a viewer who joins late or asks twice. Two segments that differ must never
    have the same number: another course of a take is another stream, with a signer and a head of its own.

    Args:
        init: the head of the stream, `ftyp moov`.
        claim: what is said about the stream.
        credentials: who says it.
        first: sequence number of the first segment (`mfhd`).
        clock: seconds since 1970.
        key: the session key; a new one unless given.
    """

    def __init__(
        self,
        init: bytes,
        claim: Claim,
        credentials: Credentials,
        *,
        first: int = 1,
        clock: Callable[[], float] = time.time,
        key: Ed25519PrivateKey | None = None,
    ) -> None:
        self._private = key or Ed25519PrivateKey.generate()
        self._clock = clock
        self._timescale = boxes.timescale(init)
        self._manifest = f"urn:c2pa:{uuid.uuid4()}"
        public = self._private.public_key()
        self._session = session.SessionKey(
            public=public,
            key_id=hashlib.sha256(public.public_bytes_raw()).digest()[:_KEY_ID],
            first=first,
            created=datetime.datetime.fromtimestamp(int(clock()), datetime.UTC),
            valid_seconds=VALID_SECONDS,
        )
        bound = self._session.assertion(self._private, credentials.chain_der[0])
        self.init = sign_init(init, self._manifest, claim, {session.LABEL: bound}, credentials)
        """The head of the stream with its manifest; to be sent in place of the one given."""

    def sign(self, segment: bytes) -> bytes:
        """The segment with its signature in front.

        Args:
            segment: `moof mdat`, whose number (`mfhd`) is its place in the stream.

        Returns:
            `emsg moof mdat`.
        """
        moment = int(max(self._clock(), self._session.created.timestamp()))  # clocks are put back
        number = boxes.sequence(segment)
        assert number >= self._session.first, f"segment {number} comes before {self._session.first}"
        blank = self._event(segment, number, moment, bytes(content.DIGEST_SIZE))
        # What is hashed holds the places of the boxes, and the event moves them.
        event = self._event(segment, number, moment, content.segment_digest(segment, start=len(blank)))
        assert len(event) == len(blank)
        return event + segment

    def _event(self, segment: bytes, number: int, moment: int, digest: bytes) -> bytes:
        said = {
            "sequenceNumber": number,
            "bmffHash": content.segment_map(digest),
            "manifestId": self._manifest,
        }
        message = cose.Signed.make(
            self._private,
            cbor2.dumps(said),
            protected={session.ISSUED_AT: moment},
            unprotected={cose.KEY_ID: self._session.key_id},
        )
        return Event(
            timescale=self._timescale,
            duration=boxes.ticks(segment),
            number=number - self._session.first + 1,
            message=cbor2.dumps(message.to_cbor()),
        ).to_box()
