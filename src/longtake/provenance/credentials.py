"""Who signs: a private key and its chain of certificates, given by the user or made for development."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from longtake.errors import UserError

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_PURPOSES = ("1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36")  # emailProtection, documentSigning (RFC 9336)
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_SMALLEST_RSA = 2048  # bits


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A key and the certificates that say whose it is."""

    chain: tuple[x509.Certificate, ...]
    """The signer's own certificate, then those that vouch for it."""
    key: PrivateKey = field(repr=False)
    """The signer's private key."""

    @cached_property
    def name(self) -> str:
        """The signer's name, as the certificate says it."""
        return name_of(self.chain[0].subject)

    @cached_property
    def algorithm(self) -> str:
        """C2PA's name of the signature algorithm, such as "es256"."""
        return algorithm_of(self.key)

    @cached_property
    def chain_pem(self) -> bytes:
        """The certificates one after another."""
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in self.chain)

    @cached_property
    def chain_der(self) -> tuple[bytes, ...]:
        """The certificates, one each."""
        return tuple(each.public_bytes(serialization.Encoding.DER) for each in self.chain)

    @cached_property
    def key_pem(self) -> bytes:
        """The private key (PKCS #8, not locked)."""
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def name_of(name: x509.Name) -> str:
    """A name for people: the common name, otherwise all of it."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def algorithm_of(key: object) -> str:
    """C2PA's name of the algorithm that a private key signs with. Raises `ValueError` for other keys."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _SMALLEST_RSA:
        return "ps256"
    raise ValueError("not a key that C2PA signs with")


def read(certificate: Path, key: Path, *, now: datetime.datetime | None = None) -> Credentials:
    """Open the user's own certificate chain and key.

    Args:
        certificate: PEM file, the signer's certificate first, then those that vouch for it.
        key: PEM file of its private key, without a passphrase.
        now: the time at which the certificate must be valid; the clock's unless given.

    Raises:
        UserError: one of them cannot be read, they do not belong together, or the certificate does not meet
            C2PA's profile (C2PA Technical Specification 2.x, X.509 certificates).
    """
    private = _read_key(key)
    chain = _read_chain(certificate)
    if chain[0].public_key() != private.public_key():
        raise UserError(f"{key} is not the key of {certificate}; give the two that belong together")
    if fault := profile_fault(chain[0], now or datetime.datetime.now(datetime.UTC)):
        raise UserError(f"{certificate} {fault}")
    return Credentials(chain=chain, key=private)


def profile_fault(leaf: x509.Certificate, now: datetime.datetime) -> str:
    """What keeps C2PA from taking a signer's certificate, after its name in a sentence; empty when nothing does."""
    if now > leaf.not_valid_after_utc:
        return f"expired on {leaf.not_valid_after_utc:%Y-%m-%d}; give one that is valid"
    if now < leaf.not_valid_before_utc:
        return f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}; give one that is valid"
    if leaf.issuer == leaf.subject:
        return "is signed by itself, which C2PA refuses; give one that another certificate vouches for"
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound as error:
        return f"lacks the extension {error.oid._name}; give a certificate for signing documents"
    except ValueError:
        return "cannot be read: an extension is damaged; give a certificate for signing documents"
    if not usage.digital_signature or usage.key_cert_sign:
        return "is not for signatures (key usage digitalSignature); give a certificate for signing documents"
    if not any(purpose.dotted_string in _PURPOSES for purpose in purposes):
        return "is not for emailProtection or documentSigning; give a certificate for signing documents"
    return ""


def _read_key(path: Path) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        algorithm_of(key)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; give the PEM file of a key") from error
    except TypeError as error:
        raise UserError(f"{path} is locked by a passphrase; give a key without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        wanted = "a PEM file of an Ed25519, P-256, P-384, P-521 or RSA (2048 bits or more) private key"
        raise UserError(f"{path} is not a key that C2PA signs with; give {wanted}") from error
    assert isinstance(key, PrivateKey)
    return key


def _read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}; give the PEM file of a certificate"
        ) from error
    except ValueError as error:
        wanted = "a PEM file that begins with -----BEGIN CERTIFICATE-----"
        raise UserError(f"{path} holds no certificate; give {wanted}") from error
