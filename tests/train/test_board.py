"""TensorBoard beside the log: the same figures, without what a killed leg wrote too much; and no package, no harm."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from longtake.train.log import RunLog


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(tag)]


def write(log: RunLog, *steps: int, loss: float) -> None:
    for step in steps:
        log.write({"kind": "train", "step": step, "of": 9, "stage": "a", "loss": loss})


def test_a_resumed_leg_takes_the_place_of_what_was_written_after_it(tmp_path: Path) -> None:
    first = RunLog(tmp_path)
    first.leg(0)
    write(first, 1, 2, 3, loss=0.5)
    second = RunLog(tmp_path)
    second.cut(1)
    second.leg(2)
    write(second, 2, 3, 4, loss=0.25)
    assert scalars(tmp_path, "train/loss") == [(1, 0.5), (2, 0.25), (3, 0.25), (4, 0.25)]


def test_without_the_package_the_log_is_written_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    log = RunLog(tmp_path)
    with pytest.warns(UserWarning, match="tensorboard is not installed"):
        log.leg(0)
    write(log, 1, loss=0.5)
    assert [record["step"] for record in log.records()] == [0, 1]
    assert not (tmp_path / "tensorboard").exists()
