"""A take that is being made, and all who watch it. Lives on the event loop; the making is a worker's."""

from __future__ import annotations

import asyncio
import enum
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from longtake.errors import UserError
from longtake.studio.admission import Admission, Lease
from longtake.studio.config import Limits
from longtake.studio.directions import MOST_WAITING, Direction, Directions
from longtake.studio.errors import Reason, Refused
from longtake.studio.events import Begun, Ended, Event, Failed, Made, Rewound
from longtake.studio.messages import error_message, made_message, stats_message
from longtake.studio.orders import Order
from longtake.studio.pictures import LivePictures
from longtake.studio.telemetry import Metrics, log
from longtake.studio.viewers import Audience, Parcel, Viewer
from longtake.studio.worker import Worker

_FAILED_REASONS = {"invalid_request": Reason.INVALID}


class Stand(enum.Enum):
    """Where a screening stands; it goes from one to the next and never back."""

    OPENING = enum.auto()
    RUNNING = enum.auto()
    OVER = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """What all screenings of a server share."""

    worker: Worker
    admission: Admission
    metrics: Metrics
    limits: Limits


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
        self.epoch = self.next_index = self.chunks = 0
        self.made = 0.0
        self.drift: dict[str, float] | None = None
        self.is_paused = False
        self.over = asyncio.Event()
        self._house, self._lease, self._on_over = house, lease, on_over
        self._audience, self._directions = Audience(), Directions()
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Begun] = self._loop.create_future()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ordered_at = self._last_at = time.monotonic()
        self._first_chunk_seconds: float | None = None
        self._steer_seconds: float | None = None
        self._making = house.worker.begin(order, self._listen, is_live=is_live, pictures=pictures)

    @property
    def take_id(self) -> str:
        """The take's id; it is open."""
        assert self.begun is not None
        return self.begun.take_id

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._audience)

    async def opened(self) -> Begun:
        """Wait until the take is open. Raises Refused when it cannot be made."""
        try:
            return await asyncio.shield(self._opened)
        except asyncio.CancelledError:
            self.stop("stopped")
            raise

    # --- what the worker tells

    def _listen(self, event: Event) -> None:
        """In the worker's thread."""
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
        self.next_index, self.made = begun.next_index, begun.media_time
        if not self._opened.done():
            self._opened.set_result(begun)
        if self.is_live:
            self._set_timer("lifetime", self._house.limits.lifetime_seconds)
            self._mind_viewers()
        log("take begun", take=begun.take_id, who=self.who, live=self.is_live, at=begun.media_time)

    def _show(self, made: Made) -> None:
        self._book(made)
        effect = self._directions.read(made.receipts)
        for message in effect.messages:
            self._tell(message)
        for lag in effect.lags:
            self._steer_seconds = lag
            self._house.metrics.direction.observe(lag)
        message = made_message(made) | {
            "epoch": self.epoch,
            "started_event_ids": effect.started,
            "active_event_ids": self._directions.active,
            "completed_event_ids": effect.completed,
        }
        self._audience.tell(
            Parcel(message=message, media=made.segment, start=made.media_time, ready_at=made.ready_at)
        )
        self._tell(
            stats_message(
                made,
                self._making.standing(),
                first_chunk_seconds=self._first_chunk_seconds,
                steer_seconds=self._steer_seconds,
                viewers=self.viewers,
                pictures=self.pictures,
            )
        )

    def _book(self, made: Made) -> None:
        metrics, now = self._house.metrics, time.monotonic()
        if self._first_chunk_seconds is None:
            self._first_chunk_seconds = now - self._ordered_at
            metrics.first_chunk.observe(self._first_chunk_seconds)
        elif self.is_live:
            metrics.interval.observe(now - self._last_at)
        self._last_at = now
        self.next_index, self.made = made.index + 1, made.end
        self.chunks += 1
        self.drift = None if made.drift is None else dict(made.drift)
        metrics.chunks.inc()
        metrics.compute.observe(made.compute)
        if made.late:
            metrics.missed.inc()
            metrics.stall.inc(made.late)
        self._house.admission.spend(self.who, made.compute)

    def _rewound(self, event: Rewound) -> None:
        self.epoch += 1
        self.next_index, self.made = event.next_index, event.media_time
        self._directions = Directions()
        self._tell(
            {
                "type": "session.rewound",
                "media_time": event.media_time,
                "chunk": event.next_index,
                "epoch": self.epoch,
            }
        )

    def _end(self, reason: str) -> None:
        """Everything that it held is let go, once."""
        if self.stand is Stand.OVER:
            return
        self.stand, self.reason = Stand.OVER, reason
        for timer in self._timers.values():
            timer.cancel()
        self._lease.release()
        self._house.metrics.ended.labels(reason).inc()
        if self.begun is not None:
            self._tell_end(self.begun, reason)
        self._audience.close()
        if not self._opened.done():
            self._opened.set_exception(self.refusal())
            self._opened.exception()  # nobody may be waiting for it any more
        self.over.set()
        self._on_over(self)

    def _tell_end(self, begun: Begun, reason: str) -> None:
        log("take over", take=begun.take_id, who=self.who, reason=reason, chunks=self.chunks)
        if self.failure is not None:
            self._tell(error_message(self.refusal(), fatal=True))
        self._tell(
            {
                "type": "session.done",
                "take_id": begun.take_id,
                "reason": reason,
                "chunks": self.next_index,
                "seconds": self.made,
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
        limits = self._house.limits
        if self.viewers >= limits.viewers_a_take:
            raise Refused(Reason.FULL, "as many watch this take as may; try again later", retry_after=10)
        viewer = Viewer(limits.viewer_chunks)
        self._audience.join(viewer)
        self._house.metrics.viewers.inc()
        self._mind_viewers()
        if self.stand is Stand.OVER:
            viewer.close()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A viewer goes."""
        self._audience.leave(viewer)
        self._house.metrics.viewers.dec()
        self._house.metrics.skipped.inc(viewer.skipped)
        self._mind_viewers()

    def _mind_viewers(self) -> None:
        """Nothing is made that nobody watches, and after a while the take rests."""
        if not self.is_live or self.stand is Stand.OVER:
            return
        if self.viewers:
            if (timer := self._timers.pop("idle", None)) is not None:
                timer.cancel()
            self._making.go("unwatched")
        elif "idle" not in self._timers:
            self._making.hold("unwatched")
            self._set_timer("idle", self._house.limits.idle_seconds)

    def _set_timer(self, reason: str, seconds: float) -> None:
        self._timers[reason] = self._loop.call_later(seconds, self.stop, reason)

    def _tell(self, message: dict[str, Any]) -> None:
        self._audience.tell(Parcel(message=message))
