"""The key that signs the segments of one live stream, and how the signer's certificate is tied to it.

The head of the stream carries the key in its manifest, which the signer's certificate signs; the key in turn signs
that certificate (C2PA Technical Specification 2.x, Session keys). The private half never leaves the memory of the
process that streams.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from longtake.provenance import cose

LABEL = "c2pa.session-keys"
_KTY, _KID, _ALG, _CRV, _X = 1, 2, 3, -1, -2  # RFC 9052 and 9053
_OCTET_KEY_PAIR, _ED25519 = 1, 6
_DATE_TAG = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionKey:
    """The public half, and from when to when and from which segment on it signs."""

    public: Ed25519PublicKey = field(repr=False)
    """Verifies the segments."""
    key_id: bytes
    """Its name."""
    first: int
    """Sequence number of the first segment that it signs."""
    created: datetime.datetime
    """Signs from then on, in whole seconds, UTC."""
    valid_seconds: int
    """And so long."""

    def covers(self, moment: float) -> bool:
        """Whether it signs at a moment in seconds since 1970."""
        start = int(self.created.timestamp())
        return start <= moment <= start + self.valid_seconds

    def assertion(self, private: Ed25519PrivateKey, leaf: bytes) -> dict[str, Any]:
        """The assertion that carries it, tied to the signer's certificate in DER.

        The tie is a signature by this key over the certificate as a CBOR byte string, which it leaves out.
        """
        binding = cose.Signed.make(private, cbor2.dumps(leaf), detached=True)
        entry = {
            "key": {
                _KTY: _OCTET_KEY_PAIR,
                _KID: self.key_id,
                _ALG: cose.ED_DSA,
                _CRV: _ED25519,
                _X: self.public.public_bytes_raw(),
            },
            "minSequenceNumber": self.first,
            "createdAt": cbor2.CBORTag(_DATE_TAG, f"{self.created:%Y-%m-%dT%H:%M:%SZ}"),
            "validityPeriod": self.valid_seconds,
            "signerBinding": binding.to_cbor(),
        }
        return {"keys": [entry]}

    @classmethod
    def read(cls, assertion: object, leaf: bytes) -> list[Self]:
        """The keys of an assertion. Raises `ValueError` for one that is damaged or bound to another certificate."""
        match assertion:
            case {"keys": [_, *_] as entries}:
                keys = [cls._read_one(entry, leaf) for entry in entries]
                if len({key.key_id for key in keys}) < len(keys):
                    raise ValueError("two session keys of one name")
                return keys
        raise ValueError("no session keys")

    @classmethod
    def _read_one(cls, entry: object, leaf: bytes) -> Self:
        match entry:
            case {
                "key": {1: 1, 2: bytes() as key_id, 3: -8, -1: 6, -2: bytes() as x},
                "minSequenceNumber": int() as first,
                "createdAt": datetime.datetime() as created,
                "validityPeriod": int() as valid,
                "signerBinding": binding,
            } if key_id and first >= 0 and valid > 0:
                public, bound = Ed25519PublicKey.from_public_bytes(x), cose.Signed.read(binding)
                if bound.payload is not None or not bound.is_by(public, cbor2.dumps(leaf)):
                    raise ValueError("a session key that is bound to another certificate")
                return cls(public=public, key_id=key_id, first=first, created=created, valid_seconds=valid)
        raise ValueError("a session key that is not Ed25519, or damaged")


def signed_at(header: Mapping[Any, Any], now: float) -> float:
    """Seconds since 1970 at which a segment says that it was signed; now, when it does not say.

    Raises:
        ValueError: what it says is no time.
    """
    moment = header.get(ISSUED_AT, now)
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        raise ValueError("not a time of signing")
    return moment


ISSUED_AT = "iat"
"""Name of the time of signing in a segment's protected header: text, as in c2pa-rs; a NumericDate of RFC 8392.

C2PA lets it be left out. It has no number among COSE's headers: 6, its number among the claims of RFC 8392, is another
header there, and 15 (RFC 9597) is a map of such claims.
"""
