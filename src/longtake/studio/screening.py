"""A take that is being made, and all who watch it. Lives on the event loop; the making is a worker's."""

from __future__ import annotations

import asyncio
import enum
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from longtake.errors import UserError
from longtake.provenance.manifest import Claim
from longtake.studio.admission import Lease
from longtake.studio.attendance import Attendance
from longtake.studio.directions import MOST_WAITING, Direction, Directions
from longtake.studio.errors import Reason, Refused
from longtake.studio.events import Begun, Ended, Event, Failed, Made, Rewound
from longtake.studio.house import House
from longtake.studio.messages import error_message, head_message, made_message, stats_message
from longtake.studio.orders import Order
from longtake.studio.pictures import LivePictures
from longtake.studio.signing import claim_of
from longtake.studio.streams import Stream
from longtake.studio.tally import Tally
from longtake.studio.telemetry import log
from longtake.studio.viewers import Parcel, Viewer

_FAILED_REASONS = {"invalid_request": Reason.INVALID}


class Stand(enum.Enum):
    """Where a screening stands; it goes from one to the next and never back."""

    OPENING = enum.auto()
    RUNNING = enum.auto()
    OVER = enum.auto()


class Screening:
    """One take from its order to its end. `lease` is released once, however it ends."""

    def __init__(
        self,
        house: House,
        order: Order,
        *,
        who: str,
        lease: Lease,
        is_live: bool,
        pictures: LivePictures | None = None,
        on_over: Callable[[Screening], None] = lambda screening: None,
    ) -> None:
        self.who, self.is_live, self.pictures = who, is_live, pictures
        self.stand = Stand.OPENING
        self.begun: Begun | None = None
        self.failure: Failed | None = None
        self.reason = ""
        self.epoch = 0
        self.is_paused = False
        self.over = asyncio.Event()
        self.tally = Tally(house, who, is_live=is_live)
        self._house, self._lease, self._on_over = house, lease, on_over
        self._directions = Directions()
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Begun] = self._loop.create_future()
        self._stream: Stream | None = None
        self._making = house.worker.begin(order, self._listen, is_live=is_live, pictures=pictures)
        self._attendance = Attendance(house, self._making, self.stop, is_live=is_live)

    @property
    def take_id(self) -> str:
        """The take's id; it is open."""
        assert self.begun is not None
        return self.begun.take_id

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._attendance)

    @property
    def stream(self) -> Stream:
        """What its viewers get, in this epoch; it is open."""
        assert self._stream is not None
        return self._stream

    async def opened(self) -> Begun:
        """Wait until the take is open. Raises Refused when it cannot be made."""
        try:
            return await asyncio.shield(self._opened)
        except asyncio.CancelledError:
            self.stop("stopped")
            raise

    # --- what the worker tells

    def _listen(self, event: Event) -> None:
        """In a thread of the worker."""
        self._loop.call_soon_threadsafe(self._hear, event)

    def _hear(self, event: Event) -> None:
        match event:
            case Begun():
                self._open(event)
            case Made():
                self._making.acknowledge()
                self._show(event)
            case Rewound():
                self._rewound(event)
            case Ended():
                self._end("complete" if event.is_complete else self.reason or "stopped")
            case Failed():
                self.failure = event
                self._end("failed")

    def _open(self, begun: Begun) -> None:
        self.begun, self.stand = begun, Stand.RUNNING
        self.tally.begin(begun)
        self._stream = self._new_stream(begun, begun.course)
        if not self._opened.done():
            self._opened.set_result(begun)
        self._attendance.open()
        log("take begun", take=begun.take_id, who=self.who, live=self.is_live, at=begun.media_time)

    def _new_stream(self, begun: Begun, course: int) -> Stream:
        def claim() -> Claim:
            return claim_of(begun, begun.prompts)

        return self._house.streams.of(begun.take_id, course, begun.init, claim)

    def _show(self, made: Made) -> None:
        made = replace(made, segment=self.stream.sign(made.segment))
        self.tally.book(made)
        effect = self._directions.read(made.receipts)
        for message in effect.messages:
            self._tell(message)
        for lag in effect.lags:
            self.tally.steered(lag)
        message = made_message(made) | {
            "epoch": self.epoch,
            "started_event_ids": effect.started,
            "active_event_ids": self._directions.active,
            "completed_event_ids": effect.completed,
        }
        self._attendance.audience.tell(
            Parcel(message=message, media=made.segment, start=made.media_time, ready_at=made.ready_at)
        )
        self._tell(
            stats_message(
                made,
                self._making.standing(),
                first_chunk_seconds=self.tally.first_chunk_seconds,
                steer_seconds=self.tally.steer_seconds,
                viewers=self.viewers,
                pictures=self.pictures,
            )
        )

    def _rewound(self, event: Rewound) -> None:
        """Another course begins: what was told of later chunks counts no more, and their numbers come again."""
        assert self.begun is not None
        self.epoch += 1
        self.tally.rewind(event)
        self._directions = Directions()
        seen = tuple(one for one in self.begun.prompts if one[0] < event.media_time)
        self._stream = self._new_stream(replace(self.begun, prompts=seen), event.course)
        self._tell(
            {
                "type": "session.rewound",
                "media_time": event.media_time,
                "chunk": event.next_index,
                "epoch": self.epoch,
            }
        )
        head = self._stream.head
        self._attendance.audience.tell(
            Parcel(message=head_message(head) | {"epoch": self.epoch}, media=head, is_head=True)
        )

    def _end(self, reason: str) -> None:
        """Everything that it held is let go, once."""
        if self.stand is Stand.OVER:
            return
        self.stand, self.reason = Stand.OVER, reason
        self._lease.release()
        self._house.metrics.ended.labels(reason).inc()
        if self.begun is not None:
            self._tell_end(self.begun, reason)
        self._attendance.close()
        if not self._opened.done():
            self._opened.set_exception(self.refusal())
            self._opened.exception()  # nobody may be waiting for it any more
        self.over.set()
        self._on_over(self)

    def _tell_end(self, begun: Begun, reason: str) -> None:
        log("take over", take=begun.take_id, who=self.who, reason=reason, chunks=self.tally.chunks)
        if self.failure is not None:
            self._tell(error_message(self.refusal(), fatal=True))
        self._tell(
            {
                "type": "session.done",
                "take_id": begun.take_id,
                "reason": reason,
                "chunks": self.tally.next_index,
                "seconds": self.tally.made,
                "stopped": reason != "complete",
            }
        )

    def refusal(self) -> Refused:
        """Why it did not begin, or what broke it."""
        if self.failure is None:
            return Refused(Reason.CONFLICT, "the take was stopped before it began")
        reason = _FAILED_REASONS.get(self.failure.code, Reason.FAILED)
        return Refused(reason, self.failure.message)

    # --- what those who direct it ask

    async def steer(self, prompt: str, transition: float, event_id: str | None) -> None:
        """Change the prompt from the next chunk on; all viewers are told. Raises Refused where that cannot be."""
        if len(self._directions) >= MOST_WAITING:
            raise Refused(
                Reason.OVER_BUDGET, "many directions wait for their chunk; wait for a receipt", retry_after=1
            )
        direction = Direction(
            prompt=prompt,
            transition=transition,
            asked_at=self._making.standing().playing,
            event_id=event_id or str(uuid.uuid4()),
        )
        self._directions.add(direction)
        try:
            receipt = await asyncio.to_thread(self._making.steer, prompt, transition)
        except UserError as error:
            self._directions.drop(direction)
            raise Refused(Reason.INVALID, str(error)) from None
        direction.cue = receipt.cue
        if not direction.is_accepted:
            self._tell(direction.accepted(receipt.first_chunk, receipt.first_time))

    async def rewind(self, at: float) -> None:
        """Go on from an earlier moment; all viewers are told. Raises Refused where that cannot be."""
        try:
            await asyncio.wrap_future(self._making.rewind(at))
        except UserError as error:
            raise Refused(Reason.INVALID, str(error)) from None

    def pause(self) -> None:
        """Hold; all viewers are told."""
        self.is_paused = True
        self._making.hold("paused")
        self._tell({"type": "session.paused", "media_time": self._making.standing().playing})

    def resume(self) -> None:
        """Go on; all viewers are told."""
        self.is_paused = False
        self._making.go("paused")
        self._tell({"type": "session.resumed", "media_time": self._making.standing().playing})

    def report(self, media_time: float, *, is_playing: bool) -> None:
        """What is on the screen of who directs it."""
        self._making.report(media_time, is_playing=is_playing)

    def picture_came(self) -> None:
        """A picture of its live source is there."""
        self._making.picture_came()

    def stop(self, reason: str) -> None:
        """End it after the chunk that is being made; the first reason counts."""
        self.reason = self.reason or reason
        self._making.stop()

    # --- viewers

    def join(self) -> Viewer:
        """A new viewer, which takes media once it has caught up. Raises Refused when there are too many."""
        viewer = self._attendance.join()
        if self.stand is Stand.OVER:
            viewer.close()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A viewer goes."""
        self._attendance.leave(viewer)

    def _tell(self, message: dict[str, Any]) -> None:
        self._attendance.audience.tell(Parcel(message=message))
