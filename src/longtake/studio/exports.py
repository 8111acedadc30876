"""Whole files of takes, written when they are asked for and kept while nothing changes."""

from __future__ import annotations

import threading
from pathlib import Path

from longtake.errors import UserError
from longtake.journal import Library, TakeRecord
from longtake.studio.errors import Reason, Refused
from longtake.studio.signing import Signing

KEPT = 8
"""Files that are kept at once."""


class Exports:
    """A folder of this server's own. Call it in a thread."""

    def __init__(self, library: Library, folder: Path, signing: Signing) -> None:
        self._library, self._folder, self._signing = library, folder, signing
        self._files: dict[str, Path] = {}
        self._lock = threading.Lock()

    def file(self, record: TakeRecord) -> Path:
        """An MP4 of all that is made of a take. Raises Refused where nothing is, or where some is gone."""
        if not record.chunks:
            raise Refused(Reason.NOT_FOUND, "nothing of this take is made yet")
        if record.kept_from:
            raise Refused(Reason.GONE, "the beginning of this take is not kept any more")
        key = f"{record.id}-{record.chunks}-{len(record.notes)}-{record.size}"
        with self._lock:
            if key not in self._files:
                self._files[key] = self._export(record, self._folder / f"{key}.mp4")
                self._drop_oldest()
            return self._files[key]

    def _export(self, record: TakeRecord, path: Path) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._library.export(record.id, path, force=True)
            with self._library.media(record.id) as media:
                receipts = [receipt for segment in media.segments() for receipt in segment.receipts]
        except UserError:
            raise Refused(
                Reason.CONFLICT, "the take cannot be exported; resume it, or free some space"
            ) from None
        self._signing.sign(path, record, receipts)
        return path

    def _drop_oldest(self) -> None:
        while len(self._files) > KEPT:
            self._files.pop(next(iter(self._files))).unlink(missing_ok=True)
