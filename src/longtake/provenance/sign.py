"""Sign a finished file: a manifest is put into a copy beside it, and the copy takes its place at once."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import c2pa  # type: ignore[import-untyped]

from longtake import boxes
from longtake.errors import UserError
from longtake.provenance import library, manifest
from longtake.provenance.credentials import Credentials
from longtake.provenance.manifest import Claim

_SOURCE = "source"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """What signing a file has done to it."""

    bytes_added: int
    """How much longer the file is."""


def sign_file(path: Path, claim: Claim, credentials: Credentials) -> Signed:
    """Sign an MP4 file that nobody writes to any more.

    At every moment the path names a whole file, the one before or the signed one; whatever stops the process
    leaves one of them. A link is followed. The pictures and the sound are not touched.

    Args:
        path: the file, readable and writable, with room for a copy beside it.
        claim: what is said about it.
        credentials: who says it.

    Raises:
        UserError: the file cannot be read or replaced, or is no MP4 video; it is as it was.
    """
    path = Path(os.path.realpath(path))
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UserError(f"{path} is not a file that can be replaced; it is not signed")
            return _replace(path, file, stat.S_IMODE(mode), claim, credentials)
    except OSError as error:
        raise UserError(f"{path} is not signed: {error.strerror}; the video is as it was") from error
    except c2pa.C2paError as error:
        raise UserError(
            f"{path} is not signed: {' '.join(str(error).split())}; the video is as it was"
        ) from error


def _replace(path: Path, file: BinaryIO, mode: int, claim: Claim, credentials: Credentials) -> Signed:
    before = file.seek(0, os.SEEK_END)
    builder = _builder(claim, _ftyp(path, file))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".signing")
    try:
        with os.fdopen(handle, "w+b") as target:
            file.seek(0)
            builder.sign(_signer(credentials), library.MP4, file, target)
            target.flush()
            os.fchmod(target.fileno(), mode)
            os.fsync(target.fileno())
            after = target.seek(0, os.SEEK_END)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)
    return Signed(bytes_added=after - before)


def _ftyp(path: Path, file: BinaryIO) -> bytes:
    places = list(boxes.top(file))
    if not places or places[0].kind != b"ftyp" or all(place.kind != b"moov" for place in places):
        raise UserError(f"{path} is not an MP4 video; it is not signed")
    file.seek(0)
    return file.read(places[0].end)


def _signer(credentials: Credentials) -> c2pa.Signer:
    algorithm = credentials.algorithm.encode()
    info = c2pa.C2paSignerInfo(algorithm, credentials.chain_pem, credentials.key_pem, None)
    return c2pa.Signer.from_info(info)


def _builder(claim: Claim, ftyp: bytes) -> c2pa.Builder:
    parameters = None if claim.source is None else {"ingredientIds": [_SOURCE]}
    said: list[dict[str, Any]] = [
        {"label": manifest.ACTIONS, "data": claim.actions(parameters)},
        {"label": manifest.TAKE, "data": claim.take(ftyp)},
    ]
    created = (manifest.ACTIONS, manifest.TAKE, manifest.INGREDIENT)
    created = (manifest.ACTIONS, manifest.TAKE, manifest.INGREDIENT)
    context = library.context(created=created)
    definition = {"claim_generator_info": [manifest.generator()], "assertions": said}
    if claim.source is None:
        return c2pa.Builder(definition, context=context)
    about = {
        "label": _SOURCE,
        "title": claim.source_title,
        "format": claim.source.format,
        "relationship": claim.source.relationship.value,
    }
    # The source's own manifest goes in, unless it may tell what is to be left out, or the source is gone.
    if claim.private or not claim.source.path.is_file():
        return c2pa.Builder(definition | {"ingredients": [about]}, context=context)
    builder = c2pa.Builder(definition, context=context)
    with claim.source.path.open("rb") as file:
        builder.add_ingredient(about, claim.source.format, file)
    return builder


def _sync_folder(folder: Path) -> None:
    """Make the new name last; not every file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
