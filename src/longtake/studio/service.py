"""What all routes share: the journal, the worker, who may do what, and the takes that are being made."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from longtake.errors import UserError
from longtake.journal import Library, Media, TakeRecord
from longtake.models.home import takes_folder
from longtake.provenance.manifest import Claim
from longtake.studio.admission import Admission, Lease
from longtake.studio.config import Config
from longtake.studio.errors import Reason, Refused
from longtake.studio.events import Begun
from longtake.studio.house import House
from longtake.studio.orders import Order
from longtake.studio.pictures import LivePictures
from longtake.studio.screening import Screening
from longtake.studio.signing import Signing, claim_of, prompts_in
from longtake.studio.streams import Stream, Streams
from longtake.studio.telemetry import Metrics
from longtake.studio.tokens import Identity, StreamTokens
from longtake.studio.uploads import Uploads
from longtake.studio.worker import Worker

NOT_READY_SECONDS = 5


class Service:
    """One server. Made on its event loop."""

    def __init__(self, config: Config, library: Library, worker: Worker, admission: Admission) -> None:
        self.config, self.library, self.worker, self.admission = config, library, worker, admission
        self.limits = config.limits
        self.metrics = Metrics(admission)
        self.streams = StreamTokens(time.monotonic, config.limits.stream_token_seconds)
        self.signing = Signing(wanted=config.provenance)
        self.media = Streams(self.signing)
        self.connections = 0
        self.screenings: dict[str, Screening] = {}
        self.resuming = asyncio.Lock()
        self._opening: set[Screening] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="longtake-")
        self.uploads = Uploads(Path(self._folder.name) / "uploads", config.limits)
        self.metrics.memory.set_function(self._memory_bytes)
        self._house = House(
            worker=worker,
            admission=admission,
            metrics=self.metrics,
            limits=config.limits,
            streams=self.media,
        )

    @property
    def folder(self) -> Path:
        """For files of a moment; gone with the server."""
        return Path(self._folder.name)

    @property
    def notes_folder(self) -> Path:
        """For what is known of videos beside their journals."""
        home = self.config.home
        return (takes_folder() if home is None else home).parent / "videos"

    def check_ready(self) -> None:
        """Raises Refused (503) while models are being loaded."""
        if not self.worker.is_ready:
            raise Refused(
                Reason.NOT_READY, "the model is being loaded; try again soon", retry_after=NOT_READY_SECONDS
            )

    async def begin(
        self,
        order: Order,
        identity: Identity,
        lease: Lease,
        *,
        is_live: bool,
        pictures: LivePictures | None = None,
    ) -> tuple[Screening, Begun]:
        """Make a take and wait until it is open. The lease is released with it. Raises Refused."""
        try:
            self.check_ready()
        except Refused:
            lease.release()
            raise
        screening = Screening(
            self._house,
            order,
            who=identity.who,
            lease=lease,
            is_live=is_live,
            pictures=pictures,
            on_over=self._forget,
        )
        self._opening.add(screening)
        try:
            begun = await screening.opened()
        finally:
            self._opening.discard(screening)
        self.screenings[begun.take_id] = screening
        if screening.over.is_set():
            self._forget(screening)
        return screening, begun

    def running(self, take_id: str) -> Screening | None:
        """The screening of a take that is being made here."""
        return self.screenings.get(take_id)

    def record(self, take_id: str) -> TakeRecord:
        """What the journal knows of a take; reads the disk. Raises Refused when there is none."""
        try:
            return self.library.get(take_id)
        except UserError:
            raise Refused(Reason.NOT_FOUND, "no such take") from None

    def stream_of(self, record: TakeRecord, media: Media) -> Stream:
        """What viewers get of a take as its journal is now; that of its screening, where it is being made here."""

        def claim() -> Claim:
            receipts = [receipt for segment in media.segments() for receipt in segment.receipts]
            return claim_of(record, prompts_in(receipts))

        return self.media.of(record.id, media.course, media.init_segment, claim)

    async def close(self) -> None:
        """Let every take go, and remove the files of a moment."""
        for screening in [*self._opening, *self.screenings.values()]:
            screening.stop("shutdown")
        await asyncio.to_thread(self.worker.close)
        self.uploads.close()
        self._folder.cleanup()

    def _memory_bytes(self) -> int:
        """What all takes that are being made remember of their past."""
        return sum(screening.tally.memory_bytes for screening in [*self.screenings.values()])

    def _forget(self, screening: Screening) -> None:
        if screening.begun is not None and self.screenings.get(screening.take_id) is screening:
            del self.screenings[screening.take_id]
