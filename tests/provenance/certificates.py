"""Certificates that a user may give, good and bad."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from longtake.provenance.credentials import PrivateKey

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
SIGNING = (ExtendedKeyUsageOID.EMAIL_PROTECTION,)
NO_ENCRYPTION = serialization.NoEncryption()


def name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A Studio"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def usage(*, sign: bool, certificates: bool = False) -> x509.KeyUsage:
    names = "content_commitment key_encipherment data_encipherment key_agreement crl_sign encipher_only decipher_only"
    others = dict.fromkeys(names.split(), False)
    return x509.KeyUsage(digital_signature=sign, key_cert_sign=certificates, **others)


def issue(
    key: PrivateKey,
    *,
    start: datetime.datetime = NOW - 10 * DAY,
    end: datetime.datetime = NOW + 3650 * DAY,
    purposes: tuple[x509.ObjectIdentifier, ...] | None = SIGNING,
    sign: bool = True,
    alone: bool = False,
    authority: bool = True,
    ocsp: str = "",
) -> tuple[x509.Certificate, x509.Certificate]:
    """A signer's certificate and the root that vouches for it."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    subject, issuer = name("Ada"), name("Ada" if alone else "Root")
    root = (
        x509.CertificateBuilder(
            issuer, issuer, root_key.public_key(), x509.random_serial_number(), start, end
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(sign=False, certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(sign=sign), critical=True)
    )
    if purposes is not None:
        leaf = leaf.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if authority:
        vouched = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
        leaf = leaf.add_extension(vouched, critical=False)
    if ocsp:
        where = x509.UniformResourceIdentifier(ocsp)
        access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, where)
        leaf = leaf.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return leaf.sign(root_key, hashes.SHA256()), root


def write_key(path: Path, key: PrivateKey, *, passphrase: bytes = b"") -> Path:
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else NO_ENCRYPTION
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, lock))
    return path


def write_chain(path: Path, *chain: x509.Certificate) -> Path:
    path.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
    return path


def new_key() -> PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()
