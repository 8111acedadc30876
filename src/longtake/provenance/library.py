"""c2pa-python, set so that it never reaches the network: no remote manifest, no OCSP, no time stamp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import c2pa  # type: ignore[import-untyped]

MP4 = "video/mp4"
_CREDENTIAL = "signingCredential."
_UNTRUSTED = "signingCredential.untrusted"
_SETTINGS: dict[str, Any] = {
    "version": 1,
    "core": {"allowed_network_hosts": []},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What the library says of a file that has a manifest."""

    trusted: bool
    """Whether the signer's certificate leads to one that was given as trusted."""
    failures: tuple[tuple[str, str], ...]
    """C2PA's code and explanation of everything that is wrong, but an unknown signer."""
    manifest: Mapping[str, Any]
    """The active manifest."""


def context(*, anchors: str = "", created: tuple[str, ...] = ()) -> c2pa.Context:
    """Settings for one call.

    Args:
        anchors: certificates in PEM that are trusted.
        created: labels of the assertions that the signer makes itself.
    """
    trust = {"trust": {"user_anchors": anchors}} if anchors else {}
    builder = {"builder": _SETTINGS["builder"] | {"created_assertion_labels": list(created)}}
    return c2pa.Context.from_dict(_SETTINGS | builder | trust)


def examine(file: BinaryIO, *, anchors: str = "") -> Findings:
    """Let the library verify an MP4 file. Raises `ValueError` when it cannot make sense of it."""
    try:
        with c2pa.Reader(MP4, file, context=context(anchors=anchors)) as reader:
            said = json.loads(reader.json())
    except c2pa.C2paError as error:
        raise ValueError(str(error)) from error
    manifest = said.get("manifests", {}).get(said.get("active_manifest"))
    if manifest is None or "validation_results" not in said:
        raise ValueError("parts of the manifest do not belong together")
    return Findings(
        trusted=said.get("validation_state") == "Trusted",
        failures=tuple(_failures(said["validation_results"])),
        manifest=manifest,
    )


def _failures(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of the file, and of what it was made from where that was whole when it was used."""
    own = [
        (each["code"], each.get("explanation", ""))
        for each in results.get("activeManifest", {}).get("failure", ())
    ]
    for ingredient in results.get("ingredientDeltas") or ():
        for each in ingredient["validationDeltas"]["failure"]:
            if not each["code"].startswith(_CREDENTIAL):
                own.append((each["code"], each.get("explanation", "")))
    return [each for each in own if each[0] != _UNTRUSTED]
