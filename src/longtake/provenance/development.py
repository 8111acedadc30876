"""A certificate for development, made once on this machine.

It lets every file be signed without asking anybody. It proves that a file is as it was when it was signed, not
who signed it: anyone can make one. The chain meets C2PA's certificate profile (C2PA Technical Specification 2.x,
X.509 certificates): a root that is thrown away after it has vouched for one signing certificate.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from longtake.errors import UserError
from longtake.provenance.credentials import Credentials

ORGANISATION = "longtake development"
"""Organisation in the names of both certificates; by it a reader recognises them."""
_FILE = "development.pem"
_VALID = datetime.timedelta(days=30 * 365)  # a signature without a time stamp ends with its certificate
_EARLIER = datetime.timedelta(days=1)  # for readers whose clock is behind
_DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336


def development(folder: Path, *, now: datetime.datetime | None = None) -> Credentials:
    """The development certificate in a folder, made there when it is missing or has expired.

    Args:
        folder: made when it is not there; the file in it can be read by its owner alone.
        now: the clock's time unless given.

    Raises:
        UserError: the folder or the file cannot be read or written.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    path = folder / _FILE
    try:
        known = _read(path)
        if known is not None and known.chain[0].not_valid_after_utc > now:
            return known
        _write(path, make(now), replace=known is not None)
        known = _read(path)
    except OSError as error:
        raise UserError(f"{path} cannot be used: {error.strerror}; set LONGTAKE_HOME to a folder") from error
    assert known is not None
    return known


def make(now: datetime.datetime) -> Credentials:
    """A new root and a signing certificate that it vouches for; the root's key is not kept."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = _name("longtake development root"), _name("longtake development certificate")
    root = (
        _builder(root_name, root_name, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    purposes = [ExtendedKeyUsageOID.EMAIL_PROTECTION, _DOCUMENT_SIGNING]
    vouched = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    leaf = (
        _builder(name, root_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(vouched, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return Credentials(chain=(leaf, root), key=key)


def _name(which: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION)
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, which)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """For signing certificates, or for signing everything else."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read(path: Path) -> Credentials | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        key = serialization.load_pem_private_key(data, None)
        chain = tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise UserError(f"{path} is damaged; delete it, and a new one is made") from error
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Credentials(chain=chain, key=key)


def _write(path: Path, credentials: Credentials, *, replace: bool) -> None:
    """Put the file in place whole; of two processes that make one, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(credentials.key_pem + credentials.chain_pem)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(name, path)
        else:
            _link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _link(name: str, path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.link(name, path)
