"""Takes that were asked to be made larger and cleaner: how far each is, and its file.

Files are this server's own and go with it, as exports do: the take stays, and can be enhanced again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.journal import TakeRecord
from longtake.studio.admission import Lease
from longtake.studio.errors import Reason, Refused
from longtake.studio.events import Ended, Event, Failed, Progressed
from longtake.studio.exports import Exports
from longtake.studio.orders import Enhance
from longtake.studio.service import Service
from longtake.studio.telemetry import log
from longtake.timeline import Receipt

KEPT = 8
"""Files that are kept at once."""


@dataclass(kw_only=True, slots=True)
class Enhanced:
    """One take being enhanced, or enhanced."""

    take_id: str
    chunks: int
    """Of the take, when it was asked for."""
    path: Path
    """The file, there once it is complete."""
    lease: Lease
    status: str = "queued"
    """`queued`, `in_progress`, `completed` or `failed`."""
    share: float = 0.0
    """What is done of it."""
    message: str | None = None
    """Why it failed, for the user."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self.status in ("completed", "failed")

    def to_dict(self) -> dict[str, Any]:
        """Its form on the wire."""
        return {
            "object": "enhancement",
            "take_id": self.take_id,
            "status": self.status,
            "progress": 100 if self.status == "completed" else min(99, int(100 * self.share)),
            "chunks": self.chunks,
            "error": None if self.message is None else {"message": self.message},
            "content": f"/v1/takes/{self.take_id}/enhanced" if self.status == "completed" else None,
        }


class Enhancements:
    """All of one server. Lives on the event loop."""

    def __init__(self, service: Service, exports: Exports, folder: Path) -> None:
        self._service, self._exports, self._folder = service, exports, folder
        self._known: dict[str, Enhanced] = {}
        self._starting = asyncio.Lock()

    def get(self, take_id: str) -> Enhanced:
        """How a take's stands. Raises Refused where none was asked for."""
        if take_id not in self._known:
            raise Refused(Reason.NOT_FOUND, "this take was not enhanced yet")
        return self._known[take_id]

    def file(self, take_id: str) -> Path:
        """The larger video. Raises Refused while it is not whole."""
        enhanced = self.get(take_id)
        if enhanced.status != "completed":
            raise Refused(Reason.CONFLICT, "the larger video is not ready; ask how it stands")
        return enhanced.path

    async def start(self, record: TakeRecord, who: str) -> Enhanced:
        """Begin; what is under way, or of the take as it is now, is not begun again. Raises Refused."""
        async with self._starting:  # or two that ask at once would both begin
            return await self._start(record, who)

    async def _start(self, record: TakeRecord, who: str) -> Enhanced:
        service = self._service
        service.check_ready()
        self._check(record)
        known = self._known.get(record.id)
        if known is not None and (
            not known.is_over or (known.status, known.chunks) == ("completed", record.chunks)
        ):
            return known
        lease = service.admission.admit_video(who)
        try:
            source = await asyncio.to_thread(self._exports.file, record)
            await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        except BaseException:
            lease.release()
            raise
        out = self._folder / f"{record.id}-{record.chunks}.mp4"
        self._known[record.id] = enhanced = Enhanced(
            take_id=record.id, chunks=record.chunks, path=out, lease=lease
        )
        loop = asyncio.get_running_loop()
        part = out.with_suffix(".part.mp4")

        def listen(event: Event) -> None:
            loop.call_soon_threadsafe(self._hear, enhanced, record, part, event)

        service.worker.enhance(Enhance(take_id=record.id, source=source, out=part), listen)
        return enhanced

    def _check(self, record: TakeRecord) -> None:
        model = self._service.worker.models.get(record.model)
        if model is None:
            raise Refused(Reason.INVALID, "the model of this take is not served here")
        if not model["enhances"]:
            raise Refused(Reason.INVALID, str(model["enhance_note"]))

    def _hear(self, enhanced: Enhanced, record: TakeRecord, part: Path, event: Event) -> None:
        match event:
            case Progressed():
                enhanced.status, enhanced.share = "in_progress", event.share
            case Failed():
                self._end(enhanced, event.message)
            case Ended() if event.is_complete:
                asyncio.get_running_loop().create_task(self._finish(enhanced, record, part))
            case Ended():
                self._end(enhanced, "the server went down before it was done")

    async def _finish(self, enhanced: Enhanced, record: TakeRecord, part: Path) -> None:
        """Sign the file and put it in its place."""

        def finish() -> None:
            with self._service.library.media(record.id) as media:
                receipts: Sequence[Receipt] = [one for each in media.segments() for one in each.receipts]
            self._service.signing.sign(part, record, receipts)
            os.replace(part, enhanced.path)

        try:
            await asyncio.to_thread(finish)
        except OSError:
            self._end(enhanced, "the larger video could not be written; the disk may be full")
            return
        self._end(enhanced, None)
        self._drop_oldest()

    def _end(self, enhanced: Enhanced, message: str | None) -> None:
        enhanced.status, enhanced.message = ("completed" if message is None else "failed"), message
        enhanced.lease.release()
        log("enhancement over", take=enhanced.take_id, status=enhanced.status)

    def _drop_oldest(self) -> None:
        over = [one for one in self._known.values() if one.is_over]
        for one in over[: max(0, len(over) - KEPT)]:
            one.path.unlink(missing_ok=True)
            del self._known[one.take_id]
