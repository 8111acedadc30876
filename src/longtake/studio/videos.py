"""Videos: takes that are asked for, made one after the other with what live takes leave, fetched when done."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

from longtake.errors import UserError
from longtake.journal import Status, TakeRecord
from longtake.studio.admission import Lease
from longtake.studio.errors import Reason, Refused
from longtake.studio.notes import Note, Notes
from longtake.studio.orders import Order, Resume
from longtake.studio.screening import Screening
from longtake.studio.service import Service
from longtake.studio.telemetry import log
from longtake.studio.tokens import Identity


@dataclass(kw_only=True, slots=True)
class _Job:
    note: Note
    lease: Lease
    screening: Screening | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    is_deleted: bool = False


class Videos:
    """The queue, and what became of those that left it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._notes = Notes(service.notes_folder)
        self._known = {note.id: note for note in self._notes.all()}
        self._queue: OrderedDict[str, _Job] = OrderedDict()
        self._news = asyncio.Event()

    async def add(self, order: Order, identity: Identity, remixed_from: str | None = None) -> str:
        """Queue a video; it is durable when this returns its id. Raises Refused."""
        self._service.check_ready()
        lease = self._service.admission.admit_video(identity.who)
        try:
            begun = await asyncio.wrap_future(self._service.worker.prepare(order))
            note = Note(
                id=begun.take_id, created_at=int(time.time()), who=identity.who, remixed_from=remixed_from
            )
            await asyncio.to_thread(self._notes.write, note)
        except UserError as error:
            lease.release()
            raise Refused(Reason.INVALID, str(error)) from None
        except BaseException:
            lease.release()
            raise
        self._enqueue(note, lease)
        return note.id

    def get(self, id: str) -> Note:
        """What is known of a video. Raises Refused when there is none."""
        if id not in self._known:
            raise Refused(Reason.NOT_FOUND, "no such video")
        return self._known[id]

    def newest_first(self) -> list[Note]:
        """All of them."""
        return sorted(self._known.values(), key=lambda note: (note.created_at, note.id), reverse=True)

    def status(self, note: Note, record: TakeRecord) -> str:
        """`queued`, `in_progress`, `completed` or `failed`."""
        job = self._queue.get(note.id)
        if job is not None:
            return "queued" if job.screening is None else "in_progress"
        if note.error_code is None and record.status is Status.FINISHED:
            return "completed"
        return "failed"

    def describe(self, note: Note) -> dict[str, Any]:
        """A video in the form that clients know; reads the disk."""
        record = self._service.record(note.id)
        status = self.status(note, record)
        seconds = record.seconds if record.num_frames is None else record.num_frames / record.fps
        done = record.frames / record.num_frames if record.num_frames else 0.0
        error = None
        if status == "failed":
            message = note.error_message or "it was stopped; ask for it again"
            error = {"code": note.error_code or "stopped", "message": message}
        return {
            "id": note.id,
            "object": "video",
            "status": status,
            "progress": 100 if status == "completed" else min(99, int(100 * done)),
            "model": record.model,
            "prompt": record.cues[0].prompt if record.cues else "",
            "seconds": f"{seconds:g}",
            "size": f"{record.width}x{record.height}",
            "seed": record.seed,
            "created_at": note.created_at,
            "completed_at": note.completed_at,
            "expires_at": None,
            "error": error,
            "remixed_from_video_id": note.remixed_from,
        }

    async def delete(self, id: str) -> None:
        """End a video if it runs, and remove it. Raises Refused when there is none."""
        self.get(id)
        job = self._queue.get(id)
        if job is not None:
            job.is_deleted = True
            if job.screening is None:
                self._leave(job)
            else:
                job.screening.stop("stopped")
            await job.over.wait()
        try:
            await asyncio.to_thread(self._service.library.delete, id)
        except UserError:
            raise Refused(Reason.CONFLICT, "the take is being made; stop it first") from None
        await asyncio.to_thread(self._notes.delete, id)
        self._known.pop(id, None)

    async def run(self) -> None:
        """Make what is queued, one video at a time, until cancelled. Videos that a server left behind come first."""
        while not self._service.worker.is_ready:
            await asyncio.sleep(0.1)
        await self._take_up()
        while True:
            waiting = next((job for job in self._queue.values()), None)
            if waiting is None:
                self._news.clear()
                await self._news.wait()
            else:
                await self._make(waiting)

    async def _take_up(self) -> None:
        for note in [*self._known.values()]:
            if note.error_code is not None or note.completed_at is not None or note.id in self._queue:
                continue
            try:
                record = await asyncio.to_thread(self._service.record, note.id)
            except Refused:
                self._known.pop(note.id)
                await asyncio.to_thread(self._notes.delete, note.id)
                continue
            if record.status is not Status.FINISHED:
                self._enqueue(note, Lease(_give_back=lambda: None))

    def _enqueue(self, note: Note, lease: Lease) -> None:
        self._known[note.id] = note
        self._queue[note.id] = _Job(note=note, lease=lease)
        self._news.set()

    async def _make(self, job: _Job) -> None:
        identity, lease = Identity(who=job.note.who), Lease(_give_back=lambda: None)
        try:
            order = Resume(take_id=job.note.id)
            job.screening, _ = await self._service.begin(order, identity, lease, is_live=False)
            if job.is_deleted:
                job.screening.stop("stopped")
            await job.screening.over.wait()
            await self._finish(job, job.screening)
        except Refused as refused:
            if not job.over.is_set():
                await self._note(
                    replace(job.note, error_code=refused.reason.kind, error_message=refused.message)
                )
        finally:
            self._leave(job)

    async def _finish(self, job: _Job, screening: Screening) -> None:
        if screening.failure is not None:
            failure = screening.failure
            await self._note(replace(job.note, error_code=failure.code, error_message=failure.message))
        elif screening.reason == "complete":
            await self._note(replace(job.note, completed_at=int(time.time())))
        log("video over", take=job.note.id, reason=screening.reason)

    async def _note(self, note: Note) -> None:
        self._known[note.id] = note
        try:
            await asyncio.to_thread(self._notes.write, note)
        except OSError as failure:  # it will be made again after a restart
            log("a note cannot be written", take=note.id, why=failure.strerror)

    def _leave(self, job: _Job) -> None:
        self._queue.pop(job.note.id, None)
        job.lease.release()
        job.over.set()
