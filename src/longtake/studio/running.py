"""One take of a worker: its pace, its share of the machine, and what others ask of it."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from longtake.errors import UserError
from longtake.journal import Recorded, RecordedTake
from longtake.measure.watch import DriftWatch
from longtake.studio.events import Event, Listener, Made, Rewound
from longtake.studio.failures import NotFiniteError
from longtake.studio.pacing import MediaTimePacer, Standing
from longtake.studio.pictures import LivePictures
from longtake.timeline import Receipt

if TYPE_CHECKING:
    from longtake.studio.thread_worker import ThreadWorker

IN_FLIGHT = 2
"""Chunks that may be on their way to the listener."""


class RunningTake:
    """See `Making`. `open`, `make` and `close` are called by the worker alone, one at a time."""

    def __init__(
        self, worker: ThreadWorker, listener: Listener, *, is_live: bool, pictures: LivePictures | None
    ) -> None:
        self.is_live, self.pictures = is_live, pictures
        self.is_stopping = False
        self.spent = 0.0
        self._worker, self._listener = worker, listener
        self._lock = threading.RLock()
        self._held: set[str] = set()
        self._in_flight = 0
        self._take: RecordedTake | None = None
        self._drift = DriftWatch()
        self._ready_at = math.inf
        self._pacer = self._new_pacer(0.0)

    def tell(self, event: Event) -> None:
        """Tell the listener."""
        self._listener(event)

    # --- for the worker

    def open(self, take: RecordedTake, media_time: float, *, share: float) -> None:
        """Take over an open take that goes on at `media_time`."""
        with self._lock:
            self._take, self.spent = take, share
            self._pacer = self._new_pacer(media_time)
            if self._held:
                self._pacer.pause()

    def wait(self) -> float:
        """See `Candidate.wait`."""
        with self._lock:
            if self.is_stopping:
                return 0.0
            if self._held or self._in_flight >= IN_FLIGHT or not self._has_source():
                self._ready_at = math.inf
                return math.inf
            wait = self._pacer.wait() if self.is_live else 0.0
            self._ready_at = min(self._ready_at, time.monotonic() + wait)
            return wait

    def make(self) -> Made | None:
        """The next chunk; None at the end of the take. Raises whatever broke it."""
        assert self._take is not None
        began = time.monotonic()
        recorded = next(self._take, None)
        if recorded is None:
            return None
        if not torch.isfinite(recorded.chunk.latents).all():
            raise NotFiniteError
        self._drift(recorded.chunk)
        return self._booked(recorded, began, time.monotonic())

    def close(self) -> None:
        """Let the take go."""
        take, self._take = self._take, None
        if take is not None:
            take.close()

    def _booked(self, recorded: Recorded, began: float, now: float) -> Made:
        chunk = recorded.chunk
        with self._lock:
            self.spent += now - began
            took = now - min(self._ready_at, began)
            late = self._pacer.add(chunk.start_time + len(chunk.frames) / chunk.fps, took)
            self._ready_at = math.inf
            self._in_flight += 1
        return Made(
            index=recorded.index,
            chunk=chunk.index,
            media_time=chunk.start_time,
            num_frames=len(chunk.frames),
            fps=chunk.fps,
            segment=recorded.segment,
            receipts=chunk.receipts,
            timings=asdict(chunk.timings),
            took=took,
            compute=now - began,
            ready_at=now,
            drift=dict(self._drift.latest) or None,
            source_frames=None if self.pictures is None else self.pictures.used(),
            late=late if self.is_live else 0.0,
            anchors=tuple(chunk.anchors),
            memory_bytes=self._opened().memory_bytes,
        )

    def _has_source(self) -> bool:
        return self.pictures is None or self.pictures.has_begun

    def _new_pacer(self, start: float) -> MediaTimePacer:
        limits = self._worker.limits
        return MediaTimePacer(time.monotonic, least=limits.least_lead, most=limits.most_lead, start=start)

    # --- for any thread

    def steer(self, prompt: str, transition: float) -> Receipt:
        """See `Making.steer`."""
        return self._opened().steer(prompt, transition=transition)

    def rewind(self, at: float) -> Future[float]:
        """See `Making.rewind`."""
        return self._worker.call(lambda: self._rewind(at), about=self)

    def _rewind(self, at: float) -> float:
        take = self._opened()
        media_time = take.rewind(at)
        with self._lock:
            self._pacer.reset(media_time)
            self._drift = DriftWatch()
        self.tell(Rewound(media_time=media_time, next_index=take.chunks, course=take.course))
        return media_time

    def _opened(self) -> RecordedTake:
        if (take := self._take) is None:
            raise UserError("the take is over; resume it first")
        return take

    def hold(self, reason: str) -> None:
        """See `Making.hold`."""
        with self._lock:
            if not self._held:
                self._pacer.pause()
            self._held.add(reason)

    def go(self, reason: str) -> None:
        """See `Making.go`."""
        with self._lock:
            if self._held == {reason}:
                self._pacer.resume()
            self._held.discard(reason)
        self._worker.wake()

    def report(self, media_time: float, *, is_playing: bool) -> None:
        """See `Making.report`."""
        with self._lock:
            self._pacer.report(media_time, is_playing=is_playing)
        self._worker.wake()

    def acknowledge(self) -> None:
        """See `Making.acknowledge`."""
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
        self._worker.wake()

    def standing(self) -> Standing:
        """See `Making.standing`."""
        with self._lock:
            return self._pacer.standing()

    def picture_came(self) -> None:
        """See `Making.picture_came`."""
        self._worker.wake()

    def stop(self) -> None:
        """See `Making.stop`."""
        self.is_stopping = True
        self._worker.wake()
