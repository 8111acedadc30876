"""The box that a C2PA manifest lies in: JUMBF (ISO/IEC 19566-5), written and taken apart.

A store holds manifests, the active one last. A manifest holds its assertions, a claim that lists their hashes, and
the signature of the claim (C2PA Technical Specification 2.x, Manifests).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cbor2

from longtake import boxes
from longtake.provenance import cose

C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Type of the `uuid` box in an MP4 that holds a store."""
_FRAME = C2PA_UUID + bytes(4) + b"manifest\0" + bytes(8)  # full box, purpose, no Merkle tree
_KIND = bytes.fromhex("00110010800000aa00389b71")  # follows the four letters of a kind
_REQUESTABLE = 3  # toggles of a description: it has a label, by which it can be asked for
_CLAIM, _SIGNATURE = "c2pa.claim.v2", "c2pa.signature"
_PADS = {"pad", "pad2"}  # C2PA's names of what fills a signature up to the room that was kept for it
_DESCRIPTION_HEAD = 17  # kind and toggles


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A superbox: a description and what it describes."""

    kind: bytes
    """Four letters."""
    label: str
    """Its name among its neighbours."""
    data: bytes
    """The whole box."""
    contents: tuple[boxes.Box, ...]
    """The boxes after the description, as places in `data`."""

    def content(self, index: int = 0) -> bytes:
        """The body of one of the contents. Raises `ValueError` when there is none."""
        if index >= len(self.contents):
            raise ValueError(f"{self.label} is empty")
        place = self.contents[index]
        return self.data[place.body : place.end]

    def parts(self) -> Iterator[Part]:
        """The superboxes inside."""
        for place in self.contents:
            yield read(self.data[place.start : place.end])


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The active manifest of a store."""

    label: str
    """`urn:c2pa:` and a UUID."""
    assertions: tuple[Part, ...]
    """What is claimed."""
    claim: bytes
    """CBOR: who claims what, with the hashes of the assertions."""
    signature: bytes
    """CBOR: COSE_Sign1 over the claim, which it leaves out."""

    def assertion(self, label: str) -> Any:
        """A decoded assertion in CBOR, None when there is none. Raises `ValueError` when it cannot be decoded."""
        found = next((part for part in self.assertions if part.label == label), None)
        return None if found is None else cose.decode(found.content())

    def leaf(self) -> bytes:
        """The signer's certificate in DER. Raises `ValueError` when there is none."""
        chain = cose.Signed.read(cose.decode(self.signature)).header().get(cose.CERTIFICATES)
        first = chain[0] if isinstance(chain, list) and chain else chain
        if not isinstance(first, bytes):
            raise ValueError("no certificate")
        return first


def box(kind: bytes, *bodies: bytes) -> bytes:
    """A box of four letters and a body."""
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def superbox(kind: bytes, label: str, *contents: bytes) -> bytes:
    """A superbox of a kind."""
    description = kind + _KIND + bytes([_REQUESTABLE]) + label.encode() + b"\0"
    return box(b"jumb", box(b"jumd", description), *contents)


def assertion(label: str, value: Any) -> bytes:
    """An assertion in CBOR."""
    return superbox(b"cbor", label, box(b"cbor", cbor2.dumps(value)))


def hashed(data: bytes) -> bytes:
    """The hash of a superbox as a claim lists it: of everything after its header."""
    return hashlib.sha256(data[8:]).digest()


def store(
    label: str, assertions: Sequence[bytes], claim: bytes, signature: bytes, *, before: bytes = b""
) -> bytes:
    """The `uuid` box of an MP4 with one manifest, after whole ones in `before`."""
    manifest = superbox(
        b"c2ma",
        label,
        superbox(b"c2as", "c2pa.assertions", *assertions),
        superbox(b"c2cl", _CLAIM, box(b"cbor", claim)),
        superbox(b"c2cs", _SIGNATURE, box(b"cbor", signature)),
    )
    return box(b"uuid", _FRAME, superbox(b"c2pa", "c2pa", before, manifest))


def is_store(uuid_box: bytes) -> bool:
    """Whether a `uuid` box is C2PA's."""
    return uuid_box[8:].startswith(C2PA_UUID)


def read(data: bytes) -> Part:
    """Take a superbox apart. Raises `ValueError` when it is damaged."""
    outer = next(boxes.boxes(data), None)
    if outer is None or outer.kind != b"jumb" or outer.end != len(data):
        raise ValueError("not a JUMBF box")
    inner = tuple(boxes.boxes(data, outer.body))
    if not inner or inner[0].kind != b"jumd" or inner[-1].end != len(data):
        raise ValueError("a damaged JUMBF box")
    kind, rest = (
        data[inner[0].body : inner[0].body + 4],
        data[inner[0].body + _DESCRIPTION_HEAD : inner[0].end],
    )
    label, ends, _ = rest.partition(b"\0")
    if not ends:
        raise ValueError("a JUMBF box without a label")
    return Part(kind=kind, label=label.decode("utf-8", "replace"), data=data, contents=inner[1:])


def active(uuid_box: bytes) -> Manifest:
    """The active manifest in a C2PA `uuid` box. Raises `ValueError` when it is damaged or of a form unknown here."""
    *_, manifest = read(uuid_box[8 + len(_FRAME) :]).parts()
    by_kind = {part.kind: part for part in manifest.parts()}
    if not {b"c2as", b"c2cl", b"c2cs"} <= by_kind.keys():
        raise ValueError("a manifest without a claim, a signature or assertions")
    return Manifest(
        label=manifest.label,
        assertions=tuple(by_kind[b"c2as"].parts()),
        claim=by_kind[b"c2cl"].content(),
        signature=by_kind[b"c2cs"].content(),
    )


def is_as_written(uuid_box: bytes) -> bool:
    """Whether the bytes that no signature covers (headers, labels, padding) are as they are written.

    A reader may go over a bit that means nothing; this does not.
    """
    try:
        manifest = active(uuid_box)
        *before, _ = read(uuid_box[8 + len(_FRAME) :]).parts()
        signed = cose.Signed.read(cose.decode(manifest.signature))
        listed = _listed(cose.decode(manifest.claim))
        pads = {name: bytes(len(pad)) for name, pad in signed.unprotected.items()}
    except (ValueError, LookupError, TypeError):
        return False
    unhashed = any(hashed(part.data) not in listed for part in manifest.assertions)
    if unhashed or not pads.keys() <= _PADS:
        return False
    plain = replace(signed, unprotected=pads, payload=None)
    return uuid_box == store(
        manifest.label,
        [part.data for part in manifest.assertions],
        manifest.claim,
        cbor2.dumps(plain.to_cbor()),
        before=b"".join(part.data for part in before),
    )


def _listed(claim: Any) -> set[bytes]:
    """The hashes of assertions in a decoded claim."""
    if not isinstance(claim, Mapping):
        raise ValueError("not a claim")
    groups = (claim.get(name, ()) for name in ("created_assertions", "gathered_assertions"))
    return {reference["hash"] for group in groups for reference in group}
