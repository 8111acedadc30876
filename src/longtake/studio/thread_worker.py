"""A worker in threads of this process. They own the models: nothing else runs them.

Each thread is a *lane*: it makes one chunk at a time, of whichever take has its turn, with its part of the cores. Two
lanes make more than one that has all cores, where much of a chunk is not arithmetic. The networks are shared and never
changed by takes; a take is in one lane at a time.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import torch

from longtake.journal import Library
from longtake.studio.config import Limits
from longtake.studio.enhancing import Enhancing
from longtake.studio.events import Begun, Ended, Listener
from longtake.studio.failures import explain
from longtake.studio.opening import open_take
from longtake.studio.orders import Enhance, Order
from longtake.studio.pictures import LivePictures
from longtake.studio.running import RunningTake
from longtake.studio.scheduling import choose
from longtake.studio.stage import SHARE, Stage
from longtake.studio.task import Task

LOG = logging.getLogger("longtake.studio")
T = TypeVar("T")


class _Call(NamedTuple):
    """Something to run between two chunks."""

    run: Callable[[], None]
    future: Future[Any]
    about: Task | None
    """The take that must not be at work meanwhile."""


class ThreadWorker:
    """See `Worker`.

    load: opens the models, in the first lane. on_ready: told how many takes the default model makes in real time.
    on_broken: told when no model can be opened; the worker is over then.
    """

    def __init__(
        self,
        load: Callable[[], Stage],
        library: Library,
        limits: Limits,
        *,
        on_ready: Callable[[int], None] = lambda takes: None,
        on_broken: Callable[[Exception], None] = lambda failure: None,
    ) -> None:
        self.library, self.limits = library, limits
        self._load, self._on_ready, self._on_broken = load, on_ready, on_broken
        self._stage: Stage | None = None
        self._models: Mapping[str, Mapping[str, Any]] = {}
        self._changed = threading.Condition()
        self._calls: deque[_Call] = deque()
        self._running: list[Task] = []
        self._at_work: list[Task] = []
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="longtake-worker", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """See `Worker.is_ready`."""
        return self._stage is not None and self._thread.is_alive() and not self._is_closing

    @property
    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """See `Worker.models`."""
        return self._models

    def prepare(self, order: Order) -> Future[Begun]:
        """See `Worker.prepare`."""
        return self.call(lambda: self._prepare(order))

    def begin(
        self, order: Order, listener: Listener, *, is_live: bool, pictures: LivePictures | None = None
    ) -> RunningTake:
        """See `Worker.begin`."""
        running = RunningTake(self, listener, is_live=is_live, pictures=pictures)
        self.call(lambda: self._open(running, order), about=running)
        return running

    def enhance(self, order: Enhance, listener: Listener) -> None:
        """See `Worker.enhance`."""
        self.call(lambda: self._take_on(order, listener))

    def close(self) -> None:
        """See `Worker.close`."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._stage is not None:  # while models are being opened there is nothing to let go
            self._thread.join()

    def call(self, function: Callable[[], T], *, about: Task | None = None) -> Future[T]:
        """Run something in a lane, between two chunks of what it is about."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except Exception as failure:  # noqa: BLE001 - raised to whoever asks for the result
                future.set_exception(failure)

        with self._changed:
            self._calls.append(_Call(run, future, about))
            self._changed.notify_all()
        return future

    def wake(self) -> None:
        """Something has changed; look again whose turn it is."""
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            stage = self._load()
            pace = stage.warm()
        except Exception as failure:  # told to whoever started the server
            LOG.exception("models cannot be opened")
            self._on_broken(failure)
            return
        self._models, self._stage = stage.describe(), stage
        others = [
            threading.Thread(
                target=self._lane, args=(pace.threads,), name=f"longtake-worker-{number}", daemon=True
            )
            for number in range(2, pace.lanes + 1)
        ]
        for other in others:
            other.start()
        self._on_ready(math.floor(pace.speed * SHARE))
        try:
            self._lane(pace.threads)
        finally:
            for other in others:
                other.join()
            self._finish()

    def _finish(self) -> None:
        """Let go what is left: nobody makes it any more."""
        for call in self._calls:
            call.future.cancel()
        for running in [*self._running]:
            self._end(running, is_complete=False)

    def _lane(self, threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            while not self._is_closing:
                self._turn()
        finally:  # a lane that breaks ends the others; the server is not ready then
            with self._changed:
                self._is_closing = True
                self._changed.notify_all()

    def _turn(self) -> None:
        """One call, one chunk, or a wait until there is something to do."""
        with self._changed:
            call = self._next_call()
            turn, wait = (None, 0.0) if call else choose(self._idle())
            if call is None and turn is None:
                if not self._is_closing:
                    self._changed.wait(None if math.isinf(wait) else wait)
                return
            busy = call.about if call is not None else turn
            if busy is not None:
                self._at_work.append(busy)
        try:
            if call is not None:
                call.run()
            elif turn is not None:
                self._step(turn)
        finally:
            with self._changed:
                if busy is not None:
                    self._at_work.remove(busy)
                self._changed.notify_all()

    def _next_call(self) -> _Call | None:
        for call in self._calls:
            if call.about not in self._at_work:
                self._calls.remove(call)
                return call
        return None

    def _idle(self) -> list[Task]:
        return [running for running in self._running if running not in self._at_work]

    def _open(self, running: RunningTake, order: Order) -> None:
        assert self._stage is not None, "an order came before the models"
        began = time.monotonic()
        try:
            take, begun = open_take(self._stage, self.library, order, running.pictures)
        except Exception as failure:  # noqa: BLE001 - the take ends alone, whatever broke it
            self._report(failure, "a take cannot be begun")
            running.tell(explain(failure))
            return
        running.open(take, begun.media_time, share=self._least_spent())
        running.spent += time.monotonic() - began
        self._join(running)
        running.tell(begun)

    def _take_on(self, order: Enhance, listener: Listener) -> None:
        assert self._stage is not None, "an order came before the models"
        self._join(Enhancing(self._stage, self.library, order, listener))

    def _join(self, running: Task) -> None:
        with self._changed:
            self._running.append(running)
            self._changed.notify_all()

    def _prepare(self, order: Order) -> Begun:
        assert self._stage is not None, "an order came before the models"
        take, begun = open_take(self._stage, self.library, order, None)
        take.close()
        return begun

    def _step(self, running: Task) -> None:
        """The next chunk of a take, or its end."""
        try:
            made = None if running.is_stopping else running.make()
        except Exception as failure:  # noqa: BLE001 - the take ends alone, whatever broke it
            self._report(failure, "a take broke")
            self._release(running)
            running.tell(explain(failure))
            return
        if made is None:
            self._end(running, is_complete=not running.is_stopping)
        else:
            running.tell(made)

    def _end(self, running: Task, *, is_complete: bool) -> None:
        self._release(running)
        running.tell(Ended(is_complete=is_complete))

    def _release(self, running: Task) -> None:
        with self._changed:
            self._running.remove(running)
        try:
            running.close()
        except Exception as failure:  # noqa: BLE001 - what it held is let go; the others go on
            self._report(failure, "a take cannot be closed")

    def _report(self, failure: Exception, what: str) -> None:
        LOG.warning(what, exc_info=failure)

    def _least_spent(self) -> float:
        """A newcomer starts where the least served stands, so that it does not shut out the others."""
        with self._changed:
            return min((running.spent for running in self._running), default=0.0)


def local_worker(
    models: Sequence[str], library: Library, limits: Limits, **told: Callable[[Any], None]
) -> ThreadWorker:
    """A worker of this process that loads models by name."""
    return ThreadWorker(lambda: Stage.load(models), library, limits, **told)
