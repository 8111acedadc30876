"""The pacer, with a clock that the test moves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.studio.pacing import MediaTimePacer


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _pacer(clock: _Clock, least: float = 1.0, most: float = 4.0) -> MediaTimePacer:
    return MediaTimePacer(clock, least=least, most=most)


def test_the_first_chunk_is_made_at_once() -> None:
    clock = _Clock()
    pacer = _pacer(clock)
    clock.now += 50
    assert pacer.wait() == 0
    assert pacer.add(2.0, took=0.1) == 0
    assert pacer.playing == 0


def test_generation_waits_until_the_lead_is_within_bounds() -> None:
    clock = _Clock()
    pacer = _pacer(clock)
    pacer.add(2.0, took=0.1)
    assert pacer.wait() == pytest.approx(1.0)
    clock.now += 0.6
    assert pacer.wait() == pytest.approx(0.4)
    clock.now += 0.4
    assert pacer.wait() == 0


@given(chunk=st.floats(0.1, 3.0), took=st.floats(0.0, 0.7), least=st.floats(0.1, 2.0))
def test_a_fast_machine_is_never_further_ahead_than_lead_and_one_chunk(
    chunk: float, took: float, least: float
) -> None:
    clock = _Clock()
    pacer = _pacer(clock, least=least, most=4.0)
    made = 0.0
    for _ in range(50):
        wait = pacer.wait()
        assert math.isfinite(wait)
        clock.now += wait + took
        made += chunk
        pacer.add(made, took=took)
        standing = pacer.standing()
        assert standing.lead <= standing.allowed_lead + chunk + 1e-6
    if took < chunk / 2:
        assert pacer.standing().deadlines_missed == 0


def test_a_slow_chunk_counts_as_one_missed_deadline_and_playback_stands_still() -> None:
    clock = _Clock()
    pacer = _pacer(clock)
    pacer.add(1.0, took=0.5)
    clock.now += 3.0
    assert pacer.playing == 1.0
    pacer.report(1.0, is_playing=True)  # the player says that it stalls; that is the same stall
    assert pacer.standing().stall_seconds == pytest.approx(2.0)
    clock.now += 0.5
    assert pacer.add(2.0, took=3.5) == pytest.approx(2.5)
    standing = pacer.standing()
    assert (standing.deadlines_missed, standing.stall_seconds) == (1, pytest.approx(2.5))
    clock.now += 0.25
    assert pacer.playing == pytest.approx(1.25), "playback goes on where it stood"


def test_the_lead_follows_how_long_chunks_take_but_not_beyond_its_bounds() -> None:
    pacer = _pacer(_Clock())
    assert pacer.allowed_lead == 1.0
    pacer.add(1.0, took=2.0)
    assert pacer.allowed_lead == pytest.approx(2.6)
    pacer.add(2.0, took=30.0)
    assert pacer.allowed_lead == 4.0
    for end in range(3, 12):
        pacer.add(end, took=0.1)
    assert pacer.allowed_lead == 1.0, "an old slow chunk is forgotten"


def test_pause_holds_generation_and_screen() -> None:
    clock = _Clock()
    pacer = _pacer(clock)
    pacer.add(2.0, took=0.1)
    clock.now += 0.5
    pacer.pause()
    assert pacer.wait() == math.inf
    clock.now += 100
    assert pacer.playing == pytest.approx(0.5)
    pacer.resume()
    clock.now += 0.5
    assert (pacer.playing, pacer.wait()) == (pytest.approx(1.0), 0)
    assert pacer.standing().stall_seconds == 0


def test_a_viewer_that_stops_its_player_stops_generation() -> None:
    clock = _Clock()
    pacer = _pacer(clock)
    pacer.add(3.0, took=0.1)
    pacer.report(0.2, is_playing=False)
    clock.now += 60
    assert (pacer.wait(), pacer.playing) == (math.inf, pytest.approx(0.2))
    pacer.report(0.2, is_playing=True)
    assert pacer.wait() == pytest.approx(1.8)


def test_a_report_from_the_future_is_not_believed() -> None:
    pacer = _pacer(_Clock())
    pacer.add(2.0, took=0.1)
    pacer.report(1e9, is_playing=True)
    assert pacer.playing == 2.0


def test_rewind_begins_anew_where_it_went() -> None:
    clock = _Clock()
    pacer = _pacer(clock)
    pacer.add(8.0, took=0.1)
    pacer.reset(3.0)
    clock.now += 10
    assert (pacer.wait(), pacer.playing) == (0, 3.0)
    assert pacer.add(4.5, took=0.1) == 0, "what comes after a rewind is not late"
    clock.now += 1
    assert pacer.playing == pytest.approx(4.0)


def test_bounds_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="least"):
        MediaTimePacer(_Clock(), least=2.0, most=1.0)
