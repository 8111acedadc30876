"""Finds a connection its place: at a new take, at one that runs or rests, or at a branch."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from longtake.journal import SourceKind
from longtake.studio.errors import Reason, Refused
from longtake.studio.events import Begun
from longtake.studio.orders import Branch
from longtake.studio.pictures import LivePictures
from longtake.studio.protocol import LiveReference, SessionBranch, SessionStart, read_data_url
from longtake.studio.recording import Recording
from longtake.studio.screening import Screening
from longtake.studio.service import Service
from longtake.studio.starting import find_model, read_start
from longtake.studio.tokens import Identity


class Seat(NamedTuple):
    """A place in the audience of a take."""

    screening: Screening
    begun: Begun
    is_director: bool
    first: int
    """Number of the first chunk to send."""
    media_time: float
    """Media second where it starts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usher:
    """Seats one connection."""

    service: Service
    identity: Identity

    async def seat(self, start: SessionStart) -> Seat:
        """The place that was asked for. Raises Refused."""
        self.service.check_ready()
        self._check_grant(start)
        if start.take_id is not None:
            return await self._return_to(start, start.take_id)
        return await self._begin(start)

    async def branch(self, seat: Seat, asked: SessionBranch) -> Seat:
        """A place at another take that leaves this one; the old one rests unless others watch it. Raises Refused."""
        old, service = seat.screening, self.service
        if not old.viewers:
            old.stop("stopped")
            await old.over.wait()
        order = Branch(
            take_id=seat.begun.take_id, at=asked.at, prompt=asked.prompt, transition=asked.transition
        )
        pictures = await self._live_source_of(order.take_id)
        lease = service.admission.admit_take(self.identity.who)
        screening, begun = await service.begin(order, self.identity, lease, is_live=True, pictures=pictures)
        return Seat(screening, begun, True, begun.next_index, begun.media_time)

    async def _begin(self, start: SessionStart) -> Seat:
        service = self.service
        image = await self._image(start)
        order = read_start(start, service.worker.models, service.uploads, service.limits, image)
        pictures = self._live_pictures(start)
        if start.branch is not None:
            pictures = await self._live_source_of(start.branch.take_id)
        lease = service.admission.admit_take(self.identity.who)
        screening, begun = await service.begin(order, self.identity, lease, is_live=True, pictures=pictures)
        if (grant := self.identity.grant) is not None and grant.take_id is None:
            grant.take_id = begun.take_id
        return Seat(screening, begun, True, begun.next_index, begun.media_time)

    async def _return_to(self, start: SessionStart, take_id: str) -> Seat:
        """To a take that is being made, or that rests in the journal."""
        service = self.service
        async with service.resuming:  # who asks while another resumes it finds it running
            screening = service.running(take_id)
            if screening is None:
                screening = await self._resume(start, take_id)
        begun = await screening.opened()
        recording = Recording(service.library, take_id, begun.fps)
        first, media_time = await asyncio.to_thread(recording.place, start.from_)
        return Seat(screening, begun, start.role == "direct", first, media_time)

    async def _resume(self, start: SessionStart, take_id: str) -> Screening:
        service = self.service
        pictures = await self._live_source_of(take_id)
        if start.role != "direct":
            raise Refused(Reason.CONFLICT, "the take rests; direct it to go on, or play its content")
        order = read_start(start, service.worker.models, service.uploads, service.limits, None)
        lease = service.admission.admit_take(self.identity.who)
        screening, _ = await service.begin(order, self.identity, lease, is_live=True, pictures=pictures)
        return screening

    def _check_grant(self, start: SessionStart) -> None:
        """What a stream token allows. Raises Refused."""
        grant = self.identity.grant
        if grant is None:
            return
        if grant.scope == "watch" and start.role == "direct":
            raise Refused(Reason.FORBIDDEN, "the stream token is for watching; ask for one that directs")
        if start.take_id is not None:
            grant.check_take(start.take_id)
        elif start.branch is not None:
            grant.check_take(start.branch.take_id)
        elif grant.take_id is not None:
            raise Refused(Reason.FORBIDDEN, "the stream token is for a take that is there; ask for another")

    async def _image(self, start: SessionStart) -> Path | None:
        """The file of a `data:` image, decoded apart as every upload."""
        if not isinstance(start.image_reference, str):
            return None
        data = read_data_url(start.image_reference, self.service.limits.message_bytes)
        upload = await self.service.uploads.add(io.BytesIO(data))
        return self.service.uploads.path(upload.id, "image")

    def _live_pictures(self, start: SessionStart) -> LivePictures | None:
        if not isinstance(start.video_reference, LiveReference):
            return None
        return self._buffer(start.model)

    async def _live_source_of(self, take_id: str) -> LivePictures | None:
        """For a take that is made from live pictures: they go on from where the source is now. Raises Refused."""
        record = await asyncio.to_thread(self.service.record, take_id)
        return self._buffer(record.model) if record.source is SourceKind.LIVE else None

    def _buffer(self, name: str | None) -> LivePictures:
        """As many pictures as a chunk of the model shows."""
        model = find_model(name, self.service.worker.models)
        return LivePictures(round(model["chunk_seconds"] * model["fps"]))
