"""Says in files and in live streams how they were made, signed; unless the operator switched that off."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from longtake.errors import UserError
from longtake.journal import SourceKind, TakeRecord
from longtake.models.home import cache_folder
from longtake.provenance.credentials import Credentials
from longtake.provenance.identity import given, identity, is_on
from longtake.provenance.live import LiveSigner
from longtake.provenance.manifest import Claim, Relationship, Source
from longtake.provenance.sign import sign_file
from longtake.studio.telemetry import log
from longtake.timeline import Receipt

Prompts = tuple[tuple[float, str], ...]
"""Each with the media second from which it counts."""

_NAMES = {SourceKind.LIVE: "live-pictures.mp4", SourceKind.FILE: "source.mp4", SourceKind.CLIP: "clip.mp4"}


class Signing:
    """Signs takes. wanted: the operator's switch; `LONGTAKE_PROVENANCE` is the other.

    Raises UserError for a certificate of the operator's that cannot be used.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._is_on = wanted and is_on(os.environ)
        self._lock = threading.Lock()
        self._identity = given(os.environ) if self._is_on else None

    @property
    def is_on(self) -> bool:
        """Whether takes are signed."""
        return self._is_on

    def sign(self, path: Path, record: TakeRecord, receipts: Sequence[Receipt]) -> None:
        """Sign a whole file in place. What keeps it from being signed is logged: the video is whole without."""
        if not self._is_on:
            return
        try:
            sign_file(path, claim_of(record, prompts_in(receipts)), self._credentials())
        except UserError as error:
            log("a file is not signed", take=record.id, why=type(error).__name__)

    def live(self, take_id: str, init: bytes, claim: Callable[[], Claim]) -> LiveSigner | None:
        """A signer for a live stream; None where that is off, or cannot be (which is logged: the take goes on)."""
        if not self._is_on:
            return None
        try:
            return LiveSigner(init, claim(), self._credentials())
        except UserError as error:
            log("a stream is not signed", take=take_id, why=type(error).__name__)
            return None

    def _credentials(self) -> Credentials:
        with self._lock:
            self._identity = self._identity or identity(cache_folder() / "provenance", os.environ)
            return self._identity


class About(Protocol):
    """A take, as far as its claim is about it."""

    @property
    def model(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def prompt(self) -> str: ...
    @property
    def has_image(self) -> bool: ...
    @property
    def source(self) -> SourceKind | None: ...


def claim_of(about: About, prompts: Prompts) -> Claim:
    """What is said of a take: model and seed, what was to be seen and since when, and what it was made from."""
    known = prompts or (((0.0, about.prompt),) if about.prompt else ())
    return Claim(model=about.model, seed=about.seed, prompts=known, source=_source_of(about))


def prompts_in(receipts: Iterable[Receipt]) -> Prompts:
    """What was to be seen, by the media second of its first picture."""
    seen = {one.first_time: one.cue.prompt for one in receipts if one.first_time is not None}
    return tuple(seen.items())


def _source_of(about: About) -> Source | None:
    """What was given, by a plain name: names of users' files are not kept."""
    if about.source is not None:
        return Source(path=Path(_NAMES[about.source]), relationship=Relationship.PARENT)
    return Source(path=Path("first-frame.png"), relationship=Relationship.INPUT) if about.has_image else None
