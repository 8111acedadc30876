"""Signatures in CBOR: COSE_Sign1 (RFC 9052), with the algorithms that C2PA allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from longtake.provenance.credentials import PrivateKey, algorithm_of

ALGORITHM, KEY_ID, CERTIFICATES = 1, 4, 33
"""Labels in headers: RFC 9052 and RFC 9360."""
ED_DSA = -8
ALGORITHMS = {"es256": -7, "es384": -35, "es512": -36, "ps256": -37, "ed25519": ED_DSA}
_TAG = 18
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "es256": hashes.SHA256(),
    "es384": hashes.SHA384(),
    "es512": hashes.SHA512(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """A COSE_Sign1."""

    protected: bytes
    """Header that is signed too, encoded."""
    unprotected: Mapping[Any, Any]
    """Header that is not."""
    payload: bytes | None
    """What is signed; None when it is kept elsewhere."""
    signature: bytes
    """Over the protected header and the payload."""

    @classmethod
    def make(
        cls,
        key: PrivateKey,
        payload: bytes,
        *,
        protected: Mapping[Any, Any] | None = None,
        unprotected: Mapping[Any, Any] | None = None,
        detached: bool = False,
    ) -> Self:
        """Sign a payload; with `detached` it is left out of the result."""
        header = cbor2.dumps({ALGORITHM: ALGORITHMS[algorithm_of(key)], **(protected or {})})
        return cls(
            protected=header,
            unprotected=dict(unprotected or {}),
            payload=None if detached else payload,
            signature=_sign(key, _to_be_signed(header, payload)),
        )

    @classmethod
    def read(cls, value: object) -> Self:
        """From a decoded CBOR value. Raises `ValueError` when it is no COSE_Sign1."""
        parts = value.value if isinstance(value, cbor2.CBORTag) and value.tag == _TAG else None
        match parts:
            case [
                bytes() as protected,
                Mapping() as unprotected,
                bytes() | None as payload,
                bytes() as signature,
            ]:
                return cls(protected=protected, unprotected=unprotected, payload=payload, signature=signature)
        raise ValueError("not a COSE_Sign1")

    def to_cbor(self) -> cbor2.CBORTag:
        """To be encoded, alone or inside something else."""
        return cbor2.CBORTag(_TAG, [self.protected, dict(self.unprotected), self.payload, self.signature])

    def header(self) -> Mapping[Any, Any]:
        """The protected header. Raises `ValueError` when it is not one."""
        header = decode(self.protected)
        if not isinstance(header, Mapping):
            raise ValueError("not a header")
        return header

    def is_by(self, key: ed25519.Ed25519PublicKey, payload: bytes) -> bool:
        """Whether this is the signature of a payload by an Ed25519 key."""
        if self.header().get(ALGORITHM) != ED_DSA:
            return False
        try:
            key.verify(self.signature, _to_be_signed(self.protected, payload))
        except InvalidSignature:
            return False
        return True


def decode(data: bytes) -> Any:
    """Decode CBOR, whoever wrote it. Raises `ValueError` when it is none."""
    try:
        return cbor2.loads(data)
    except (
        cbor2.CBORDecodeError,
        ArithmeticError,
        LookupError,
        TypeError,
        RecursionError,
        MemoryError,
    ) as error:
        raise ValueError("not CBOR") from error


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor2.dumps(["Signature1", protected, b"", payload])


def _sign(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_HASHES[algorithm_of(key)])))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
    return key.sign(data, pss, hashes.SHA256())
