"""Viewers of chunks whose arrival is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.measure.viewer import watch


def test_chunks_faster_than_real_time_never_stall() -> None:
    seen = watch([0.5, 1.0, 1.5, 2.0], [1.0] * 4, store=0)
    assert seen.start_s == 0.5
    assert (seen.underruns, seen.stall_s, seen.on_time) == (0, 0.0, 1.0)


def test_one_late_chunk_is_one_stall_and_shifts_what_follows() -> None:
    seen = watch([0.0, 3.0, 3.5, 4.9], [1.0] * 4, store=0)  # due 0, 1, then at 4, 5
    assert (seen.underruns, seen.stall_s) == (1, 2.0)
    assert seen.on_time == pytest.approx(2 / 3)


def test_a_store_trades_a_later_start_for_the_stall() -> None:
    seen = watch([0.0, 1.0, 3.0, 4.0], [1.0] * 4, store=2.0)
    assert seen.start_s == 1.0
    assert (seen.underruns, seen.stall_s) == (0, 0.0)


def test_a_video_shorter_than_the_store_starts_at_its_end() -> None:
    assert watch([0.2, 0.9], [0.1, 0.1], store=5.0).start_s == 0.9


@given(
    st.lists(st.tuples(st.floats(0.01, 3), st.floats(0.05, 2)), min_size=1, max_size=20),
    st.floats(0, 4),
    st.floats(0, 4),
)
def test_a_larger_store_never_stalls_longer(
    chunks: list[tuple[float, float]], one: float, other: float
) -> None:
    arrivals, now = [], 0.0
    for gap, _ in chunks:
        arrivals.append(now := now + gap)
    lengths = [length for _, length in chunks]
    small, large = (watch(arrivals, lengths, store) for store in sorted((one, other)))
    assert small.start_s <= large.start_s
    assert large.stall_s <= small.stall_s + 1e-9
    for seen in (small, large):  # nothing is lost: the last frame is shown when all is there and played
        assert seen.start_s + sum(lengths) + seen.stall_s >= arrivals[-1] + lengths[-1] - 1e-9
