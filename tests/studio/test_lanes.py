"""Takes side by side in the threads of one worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from longtake.journal import Library
from longtake.models.offload import Layerwise
from longtake.pipeline import Pipeline
from longtake.studio import stage as stage_module
from longtake.studio.config import Limits
from longtake.studio.events import Begun, Ended, Event, Failed, Made, Rewound
from longtake.studio.orders import NewTake
from longtake.studio.stage import Stage
from longtake.studio.thread_worker import ThreadWorker
from longtake.studio.worker import Making
from longtake.timeline import Timeline
from tests.studio.serving import PROMPT, TwoLanes, wait_for
from tests.tiny import tiny_pipeline

FRAMES = 33


class _Heard(list[Event]):
    """What a take told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.making: Making | None = None
        self._lock = threading.Lock()
        self._owed = 0

    def __call__(self, event: Event) -> None:
        with self._lock:
            self.append(event)
            if isinstance(event, Made):
                self._owed += 1
            self._pay()

    def follow(self, making: Making) -> Making:
        """Take over every chunk at once."""
        with self._lock:
            self.making = making
            self._pay()
        return making

    def _pay(self) -> None:
        while self.making is not None and self._owed:
            self._owed -= 1
            self.making.acknowledge()

    @property
    def segments(self) -> list[bytes]:
        return [event.segment for event in self if isinstance(event, Made)]

    @property
    def is_over(self) -> bool:
        return any(isinstance(event, Ended | Failed) for event in self)


@contextmanager
def _worker(pipe: Pipeline, home: Path) -> Iterator[ThreadWorker]:
    worker = ThreadWorker(lambda: TwoLanes([pipe]), Library(home), Limits())
    worker.start()
    wait_for(lambda: worker.is_ready)
    try:
        yield worker
    finally:
        worker.close()


def _begin(worker: ThreadWorker, pipe: Pipeline, seed: int, num_frames: int = FRAMES) -> _Heard:
    heard = _Heard()
    order = NewTake(model=pipe.name, timeline=Timeline.from_prompt(PROMPT), seed=seed, num_frames=num_frames)
    heard.follow(worker.begin(order, heard, is_live=False))
    return heard


def _gated(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch, gate: Callable[[], object]) -> None:
    """Pass a gate in the middle of every chunk."""
    decode = pipe.codec.decode

    def gated(*given: Any) -> Any:
        gate()
        return decode(*given)

    monkeypatch.setattr(pipe.codec, "decode", gated)


@contextmanager
def _rewinding(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ThreadWorker, _Heard, Future[float], threading.Event]]:
    """A take in the middle of its first chunk, where it stays until the event is set; and it is to be rewound."""
    pipe, is_inside, may_pass = tiny_pipeline(), threading.Event(), threading.Event()

    def gate() -> None:
        is_inside.set()
        assert may_pass.wait(20)

    with _worker(pipe, home) as worker:
        _gated(pipe, monkeypatch, gate)
        heard = _begin(worker, pipe, 0)
        assert is_inside.wait(20)
        assert heard.making is not None
        yield worker, heard, heard.making.rewind(0), may_pass


def test_two_takes_are_made_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, meeting = tiny_pipeline(), threading.Barrier(2, timeout=20)
    with _worker(pipe, tmp_path) as worker:
        _gated(pipe, monkeypatch, meeting.wait)
        takes = [_begin(worker, pipe, seed) for seed in (0, 1)]
        wait_for(lambda: all(heard.is_over for heard in takes))
    assert all(isinstance(heard[-1], Ended) for heard in takes)  # each chunk met one of the other's


def test_side_by_side_the_bytes_are_those_of_a_take_alone(tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    with _worker(pipe, tmp_path / "side") as worker:
        takes = [_begin(worker, pipe, seed) for seed in range(4)]
        wait_for(lambda: all(heard.is_over for heard in takes))
    library = Library(tmp_path / "alone")
    for seed, heard in enumerate(takes):
        alone = library.create(pipe, Timeline.from_prompt(PROMPT), seed=seed, num_frames=FRAMES)
        with alone as take:
            assert heard.segments == [made.segment for made in take]
        assert isinstance(heard[0], Begun)
        assert [event.index for event in heard if isinstance(event, Made)] == [*range(len(heard.segments))]


def test_what_concerns_a_take_waits_for_its_chunk_and_the_rest_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _rewinding(tmp_path, monkeypatch) as (worker, heard, rewound, may_pass):
        assert worker.call(lambda: "at once").result(20) == "at once"
        assert not rewound.done()
        assert [type(event) for event in heard] == [Begun]
        may_pass.set()
        assert rewound.result(20) == 0
        wait_for(lambda: heard.is_over)
    assert [type(event) for event in heard[1:3]] == [Made, Rewound]


def test_a_worker_that_is_closed_ends_what_is_in_its_lanes(tmp_path: Path) -> None:
    pipe = tiny_pipeline()
    with _worker(pipe, tmp_path) as worker:
        takes = [_begin(worker, pipe, seed, num_frames=100_000) for seed in range(3)]
        wait_for(lambda: all(heard.segments for heard in takes))
    assert all(heard[-1] == Ended(is_complete=False) for heard in takes)
    assert not [one for one in threading.enumerate() if one.name.startswith("longtake-worker")]


def test_what_waits_when_a_worker_is_closed_is_called_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _rewinding(tmp_path, monkeypatch) as (worker, _heard, rewound, may_pass):
        closing = threading.Thread(target=worker.close)
        closing.start()
        wait_for(lambda: not worker.is_ready)
        may_pass.set()
        closing.join(20)
        assert rewound.cancelled()


def test_where_two_takes_do_not_fit_they_are_made_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    alone, lanes = stage_module._try_out, iter(range(2))

    def has_no_room(pipe: Pipeline, meet: Callable[[], object] = lambda: None) -> Any:
        if threading.current_thread() is not threading.main_thread() and next(lanes):
            raise MemoryError
        return alone(pipe, meet)

    monkeypatch.setattr(stage_module, "_try_out", has_no_room)
    assert Stage([tiny_pipeline()]).warm().lanes == 1


@pytest.mark.parametrize(("gain", "lanes"), [(0.0, 2), (1e9, 1)])
def test_lanes_are_used_where_they_are_faster(
    gain: float, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(stage_module, "GAIN", gain)
    pace = Stage([tiny_pipeline()]).warm()
    assert (pace.lanes, pace.threads) == (lanes, 2 // lanes)


def test_weights_that_come_and_go_are_used_by_one_take_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(stage_module, "GAIN", 0.0)
    pipe = tiny_pipeline()
    Layerwise(pipe.backbone, torch.device("cpu"))
    assert Stage([pipe]).warm().lanes == 1
