"""The figures of the summary, on a clock that the test turns."""

from __future__ import annotations

import time

import pytest

from longtake.cli.meter import Meter, process_age
from longtake.models.process import peak_rss_mb


def test_figures_of_a_take() -> None:
    now = [100.0]
    meter = Meter(fps=8, clock=lambda: now[0])
    for seconds, frames in ((0.5, 9), (1.0, 12), (1.0, 12), (1.5, 7)):
        now[0] += seconds
        meter.add(frames)
    assert (meter.chunks, meter.frames, meter.seconds) == (4, 40, 4.0)
    assert meter.time_to_first_frame == 0.5
    assert meter.rtf == pytest.approx(5.0 / 4.0)
    assert meter.ahead == pytest.approx(5.0 - 3.5)
    assert meter.chunk_percentile(50) == 1.0
    assert 1.0 < meter.chunk_percentile(95) <= 1.5


def test_the_age_of_the_process_grows_with_the_clock() -> None:
    before = process_age()
    time.sleep(0.05)
    assert 0.03 < process_age() - before < 5


def test_peak_memory_is_plausible() -> None:
    assert 10 < peak_rss_mb() < 1_000_000
