"""Whether files are signed, and by whom: the switch, the user's certificate, or one for development."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.errors import UserError

if TYPE_CHECKING:
    from longtake.provenance.credentials import Credentials

SWITCH, CERTIFICATE, KEY = "LONGTAKE_PROVENANCE", "LONGTAKE_C2PA_CERT", "LONGTAKE_C2PA_KEY"
"""Environment variables."""


def is_on(environment: Mapping[str, str]) -> bool:
    """Whether files are to be signed: unless `LONGTAKE_PROVENANCE` is `off`. Raises `UserError` for other words."""
    value = environment.get(SWITCH) or "on"
    if value not in ("on", "off"):
        raise UserError(f"{SWITCH}={value} says neither on nor off; give one of them")
    return value == "on"


def given(environment: Mapping[str, str]) -> Credentials | None:
    """What `LONGTAKE_C2PA_CERT` and `LONGTAKE_C2PA_KEY` name, None when neither is set.

    Raises:
        UserError: one of them is missing, or they cannot be used; see `credentials.read`.
    """
    certificate, key = environment.get(CERTIFICATE), environment.get(KEY)
    if not certificate and not key:
        return None
    if not certificate or not key:
        missing = KEY if certificate else CERTIFICATE
        raise UserError(f"{missing} is not set; a certificate and its key are given together, or neither")
    from longtake.provenance.credentials import read

    return read(Path(certificate), Path(key))


def identity(folder: Path, environment: Mapping[str, str]) -> Credentials:
    """Who signs: the user's certificate, otherwise the development certificate in a folder, made when missing.

    Raises:
        UserError: neither can be used.
    """
    from longtake.provenance.development import development

    return given(environment) or development(folder)
