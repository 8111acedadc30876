"""Says in exported files how they were made, signed; unless the operator switched that off."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from longtake.errors import UserError
from longtake.journal import TakeRecord
from longtake.models.home import cache_folder
from longtake.provenance.credentials import Credentials
from longtake.provenance.identity import identity, is_on
from longtake.provenance.manifest import Claim
from longtake.provenance.sign import sign_file
from longtake.studio.telemetry import log
from longtake.timeline import Receipt


class Signing:
    """Signs files of takes. wanted: the operator's switch; `LONGTAKE_PROVENANCE` is the other."""

    def __init__(self, *, wanted: bool) -> None:
        self._is_on = wanted and is_on(os.environ)
        self._lock = threading.Lock()
        self._identity: Credentials | None = None

    @property
    def is_on(self) -> bool:
        """Whether files are signed."""
        return self._is_on

    def sign(self, path: Path, record: TakeRecord, receipts: Sequence[Receipt]) -> None:
        """Sign a whole file in place. What keeps it from being signed is logged: the video is whole without."""
        if not self._is_on:
            return
        seen = [(one.first_time, one.cue.prompt) for one in receipts if one.first_time is not None]
        claim = Claim(model=record.model, seed=record.seed, prompts=tuple(dict(seen).items()))
        try:
            sign_file(path, claim, self._credentials())
        except UserError as error:
            log("a file is not signed", take=record.id, why=type(error).__name__)

    def _credentials(self) -> Credentials:
        with self._lock:
            self._identity = self._identity or identity(cache_folder() / "provenance", os.environ)
            return self._identity
