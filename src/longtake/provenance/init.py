"""The head of a live stream with its manifest.

c2pa-python takes assertions as JSON, which has no byte strings, so a manifest with session keys is written here.
"""

from __future__ import annotations

from typing import Any

import cbor2

from longtake import boxes
from longtake.provenance import content, cose, jumbf, manifest
from longtake.provenance.credentials import Credentials
from longtake.provenance.manifest import Claim

_HERE = "self#jumbf="


def sign_init(
    init: bytes, label: str, claim: Claim, extra: dict[str, Any], credentials: Credentials
) -> bytes:
    """`ftyp moov` with a manifest between them.

    Args:
        init: the head of the stream.
        label: name of the manifest, `urn:c2pa:` and a UUID.
        claim: what is said about the stream.
        extra: further assertions by their labels.
        credentials: who says it.
    """
    ftyp, *_ = boxes.boxes(init)
    said = _assertions(claim, init[: ftyp.end]) | {
        name: jumbf.assertion(name, it) for name, it in extra.items()
    }
    # The hash holds the places of the boxes after the manifest, so its size comes first.
    blank = _store(label, said, content.init_hash(init), credentials)
    head, tail = init[: ftyp.end], init[ftyp.end :]
    whole = _store(label, said, content.init_hash(head + blank + tail), credentials)
    assert len(whole) == len(blank)
    return head + whole + tail


def _assertions(claim: Claim, ftyp: bytes) -> dict[str, bytes]:
    said, parameters = {}, None
    if claim.source is not None:
        about = {
            "dc:title": claim.source_title,
            "dc:format": claim.source.format,
            "relationship": claim.source.relationship.value,
        }
        said[manifest.INGREDIENT] = jumbf.assertion(manifest.INGREDIENT, about)
        parameters = {"ingredients": [_reference(manifest.INGREDIENT, said[manifest.INGREDIENT])]}
    said[manifest.ACTIONS] = jumbf.assertion(manifest.ACTIONS, claim.actions(parameters))
    said[manifest.TAKE] = jumbf.assertion(manifest.TAKE, claim.take(ftyp))
    return said


def _reference(label: str, data: bytes) -> dict[str, Any]:
    return {"url": f"{_HERE}c2pa.assertions/{label}", "hash": jumbf.hashed(data)}


def _store(label: str, said: dict[str, bytes], found: dict[str, Any], credentials: Credentials) -> bytes:
    said = {content.LABEL: jumbf.assertion(content.LABEL, found), **said}
    claim = cbor2.dumps(
        {
            "instanceID": f"xmp:iid:{label.removeprefix('urn:c2pa:')}",
            "claim_generator_info": manifest.generator(),
            "signature": f"{_HERE}/c2pa/{label}/c2pa.signature",
            "created_assertions": [_reference(name, data) for name, data in said.items()],
            "alg": content.ALGORITHM,
        }
    )
    chain = {cose.CERTIFICATES: list(credentials.chain_der)}
    signature = cose.Signed.make(credentials.key, claim, protected=chain, detached=True)
    return jumbf.store(label, list(said.values()), claim, cbor2.dumps(signature.to_cbor()))
