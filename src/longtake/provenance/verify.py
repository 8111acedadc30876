"""Is a video what its maker signed? Files, and live streams that were written down."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from cryptography import x509

from longtake import boxes
from longtake.errors import UserError
from longtake.provenance import jumbf, library, session
from longtake.provenance.head import Head
from longtake.provenance.report import Problem, Report
from longtake.provenance.stream import INVALID, StreamVerifier

_LARGEST = 256 << 20  # bytes of a manifest, and of a live segment


def verify(path: Path, *, anchors: Path | None = None, late: bool = False) -> Report:
    """Check a file against the manifest that it carries; nothing is fetched from anywhere.

    Args:
        path: an MP4 file, signed as a whole or segment by segment.
        anchors: PEM file of certificates that are trusted.
        late: whether a live stream was written down from the middle on; its first segments may be missing then.

    Raises:
        UserError: a file cannot be read, or is no MP4 file.
    """
    trusted = "" if anchors is None else _read_anchors(anchors)
    try:
        with path.open("rb") as file:
            return _verify(str(path), file, trusted, late=late)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; give an MP4 file") from error


def _verify(name: str, file: BinaryIO, anchors: str, *, late: bool) -> Report:
    places = list(boxes.top(file))
    if not places or places[0].kind != b"ftyp":
        raise UserError(f"{name} is not an MP4 file; give a video that longtake wrote")
    blank = Report(path=name, kind="file")
    try:
        uuids = [_bytes(file, place) for place in places if place.kind == b"uuid"]
        stores = [data for data in uuids if jumbf.is_store(data)]
        if not stores:
            absent = Problem(code="claim.missing", what="it is not signed, or its manifest was removed")
            return replace(blank, kind="none", problems=(absent,))
        if len(stores) > 1:
            raise ValueError("more than one manifest")
        head = Head(ftyp=_bytes(file, places[0]), uuid=stores[0], manifest=jumbf.active(stores[0]))
        if head.manifest.assertion(session.LABEL) is not None:
            return _Stream(file, places, head).report(replace(blank, kind="live"), anchors, late=late)
        file.seek(0)
        described = head.describe(blank, library.examine(file, anchors=anchors))
        return replace(described, checked=("the manifest", "every frame"))
    except (ValueError, struct.error) as error:
        damaged = Problem(code="claim.malformed", what=f"its manifest or the file is damaged ({error})")
        return replace(blank, problems=(damaged,))


class _Stream:
    """A live stream in a file: its head, then segments."""

    def __init__(self, file: BinaryIO, places: list[boxes.Box], head: Head) -> None:
        self.file, self.head = file, head
        kinds = [place.kind for place in places]
        split = kinds.index(b"moov") + 1 if b"moov" in kinds else len(places)
        self.init, self.rest = b"".join(_bytes(file, place) for place in places[:split]), places[split:]

    def report(self, blank: Report, anchors: str, *, late: bool) -> Report:
        """What is wrong with the head, and with every segment."""
        described = self.head.describe(blank, library.examine(io.BytesIO(self.init), anchors=anchors))
        verifier = StreamVerifier.of(self.head.manifest, self.init, late=late)
        found = [verifier.check(segment) for segment in self._segments()]
        return replace(
            described,
            checked=("the manifest", "every segment", "the order of the segments"),
            problems=tuple(chain(described.problems, *found, self._ending(len(found)))),
            segments=len(found),
        )

    def _segments(self) -> Iterator[bytes]:
        """Boxes up to each `mdat`."""
        start = 0
        for index, place in enumerate(self.rest, start=1):
            if place.kind == b"mdat":
                yield b"".join(_bytes(self.file, each) for each in self.rest[start:index])
                start = index

    def _ending(self, count: int) -> list[Problem]:
        """What is wrong with the end of the file; where a stream ends, nothing signed says."""
        end = self.rest[-1].end if self.rest else len(self.init)
        if count and self.rest[-1].kind == b"mdat" and end == self.file.seek(0, io.SEEK_END):
            return []
        what = "it ends inside a segment" if count else "it holds no whole segment"
        return [Problem(code=INVALID, what=what)]


def _bytes(file: BinaryIO, place: boxes.Box) -> bytes:
    if place.end - place.start > _LARGEST:
        raise ValueError(f"a box of {place.end - place.start} bytes")
    file.seek(place.start)
    return file.read(place.end - place.start)


def _read_anchors(path: Path) -> str:
    try:
        data = path.read_text(encoding="ascii")
        x509.load_pem_x509_certificates(data.encode())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}; give a PEM file of certificates"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} holds no certificates; give a PEM file of those that you trust") from error
    return data
