"""Drift watched while a take is made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from longtake.chunk import Chunk, Timings
from longtake.measure.watch import PATIENCE, Alarm, DriftWatch
from longtake.timeline import Cue, Receipt, ReceiptStatus
from longtake.world.render import render
from longtake.world.scene import sample_scene

FPS, LENGTH = 8, 12


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return render(sample_scene(11, level=1), 10 * LENGTH, size=(64, 64), fps=FPS).frames


def chunks(frames: np.ndarray, changed_at: int | None = None) -> Iterator[Chunk]:
    for index in range(len(frames) // LENGTH):
        cue = Cue(prompt="another", at_chunk=index)
        receipt = Receipt(cue=cue, status=ReceiptStatus.ACCEPTED, first_chunk=index)
        yield Chunk(
            index=index,
            frames=frames[index * LENGTH : (index + 1) * LENGTH],
            start_frame=index * LENGTH,
            fps=FPS,
            receipts=(receipt,) if index == changed_at else (),
            timings=Timings(),
            latents=torch.zeros(1),
        )


def brighter(frames: np.ndarray, first: int, last: int | None = None) -> np.ndarray:
    """Washed out from a chunk on."""
    out = frames.copy()
    part = slice(first * LENGTH, None if last is None else last * LENGTH)
    out[part] = (out[part] * 0.4 + 255 * 0.6).astype(np.uint8)
    return out


def watched(frames: np.ndarray, changed_at: int | None = None) -> DriftWatch:
    watch = DriftWatch()
    for chunk in chunks(frames, changed_at):
        watch(chunk)
    return watch


def test_a_clean_take_raises_no_alarm(clean: np.ndarray) -> None:
    assert watched(clean).alarms == []


def test_washed_out_colours_are_said_once_and_soon(clean: np.ndarray) -> None:
    watch = watched(brighter(clean, 4))
    colour = [alarm for alarm in watch.alarms if alarm.figure == "colour"]
    assert [alarm.chunk for alarm in colour] == [4 + PATIENCE - 1]
    assert colour[0].seconds == (4 + PATIENCE - 1) * LENGTH / FPS
    assert "drift of colour +" in str(colour[0])
    assert watch.latest["colour"] > 15


def test_one_bad_chunk_is_let_pass(clean: np.ndarray) -> None:
    assert watched(brighter(clean, 4, 5)).alarms == []


def test_it_is_said_again_after_it_went_away(clean: np.ndarray) -> None:
    frames = brighter(brighter(clean, 3, 5), 7)
    assert [alarm.chunk for alarm in watched(frames).alarms if alarm.figure == "colour"] == [4, 8]


def test_a_new_prompt_is_no_drift(clean: np.ndarray) -> None:
    assert watched(brighter(clean, 5), changed_at=5).alarms == []


def test_whoever_acts_against_drift_is_told_at_once(clean: np.ndarray) -> None:
    told: list[Alarm] = []
    watch = DriftWatch(on_alarm=told.append)
    for chunk in chunks(brighter(clean, 4)):
        watch(chunk)
    assert told == watch.alarms != []
