"""The manifest in the head of a file: is it whole, who signed it, what does it say?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.x509.oid import NameOID

from longtake.provenance import development, jumbf, manifest
from longtake.provenance.credentials import name_of
from longtake.provenance.library import Findings
from longtake.provenance.report import Problem, Report, Trust

_WORDS = {
    "assertion.bmffHash.mismatch": "it was changed after it was signed",
    "claimSignature.mismatch": "its manifest was changed after it was signed",
    "assertion.hashedURI.mismatch": "its manifest was changed after it was signed",
    "signingCredential.expired": "the signer's certificate has expired, so its signature cannot be checked",
    "signingCredential.invalid": "the signer's certificate is not one that C2PA accepts",
    "signingCredential.revoked": "the signer's certificate was withdrawn",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The boxes before the pictures that say where these come from."""

    ftyp: bytes
    """The first box of the file."""
    uuid: bytes
    """The box of the manifest."""
    manifest: jumbf.Manifest
    """The active manifest in it."""

    def describe(self, report: Report, findings: Findings) -> Report:
        """The report with what the manifest says, and what is wrong with it."""
        found = findings.manifest
        if found.get("label") != self.manifest.label:
            raise ValueError("more than one manifest")
        generator = (found.get("claim_generator_info") or [{}])[0]
        made_from = [str(each.get("title", "")) for each in found.get("ingredients") or ()]
        leaf = _certificate(self.manifest.leaf())
        return replace(
            report,
            problems=(*report.problems, *self._problems(findings)),
            trust=_trust(leaf, findings),
            signer=name_of(leaf.subject),
            generator=f"{generator.get('name', '?')} {generator.get('version', '')}".strip(),
            take=manifest.read_take(self.manifest.assertion(manifest.TAKE)),
            made_from=tuple(made_from),
        )

    def _problems(self, findings: Findings) -> Iterator[Problem]:
        for code, explanation in findings.failures:
            yield Problem(code=code, what=_WORDS.get(code, f"its manifest is wrong: {explanation or code}"))
        said = self.manifest.assertion(manifest.TAKE)
        if not isinstance(said, Mapping):
            return  # what follows is known of our own manifests only
        if said.get(manifest.FTYP) != hashlib.sha256(self.ftyp).hexdigest():
            yield Problem(code="longtake.ftyp.mismatch", what="its file type was changed after it was signed")
        if not jumbf.is_as_written(self.uuid):
            yield Problem(code="longtake.frame.mismatch", what="the frame of its manifest was changed")


def _certificate(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError("the certificate is damaged") from error


def _trust(leaf: x509.Certificate, findings: Findings) -> Trust:
    if findings.trusted:
        return Trust.TRUSTED
    organisations = leaf.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    ours = any(each.value == development.ORGANISATION for each in organisations)
    return Trust.DEVELOPMENT if ours else Trust.UNKNOWN
