"""The gate: what counts as right, as abstaining, and what it lets a reader report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from longtake.measure.gate import EVERYTHING, abstains, gate, passed, record, true_outcomes
from longtake.measure.results import Figure
from longtake.world.reader import Reader, write_config
from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_net import ReaderNet
from longtake.world.reading import Reading, ReadSolid, Trust
from longtake.world.windows import Window, WindowDraw, draw_windows

CONFIG = ReaderConfig()


def true_reading(window: Window) -> Reading:
    """What a perfect reader would say."""
    labels, choices = window.labels, dict(CONFIG.answers)
    solids = []
    for k in np.flatnonzero(labels.present == 1):
        named = {name: options[getattr(labels, name)[k]] for name, options in choices.items()}
        solids.append(ReadSolid(colour=CONFIG.colours[k], **named))
    return Reading(
        objects=tuple(solids),
        ground=CONFIG.grounds[labels.ground],
        camera=CONFIG.cameras[labels.camera],
        count=len(solids),
        legible=True,
    )


def test_a_perfect_reader_is_right_and_an_abstaining_one_wrong() -> None:
    for window in draw_windows(WindowDraw(event_share=0.0), CONFIG, seed=1, count=3):
        right = true_outcomes(window, true_reading(window), CONFIG)
        wrong = true_outcomes(window, Reading(), CONFIG)
        assert all(all(hits) for hits in right.values()), right
        assert not any(any(hits) for hits in wrong.values())


def test_abstaining_on_a_clip_and_on_an_erased_solid() -> None:
    red = Reading(objects=(ReadSolid(colour="red", shape="cube"),), legible=True)
    assert abstains(Reading(), None)
    assert not abstains(red, None)
    assert not abstains(red, "red")
    assert abstains(red, "blue")
    assert abstains(Reading(objects=(ReadSolid(colour="red"),), legible=True), "red")


def test_the_gate_runs_and_records_only_what_passed(tmp_path: Path) -> None:
    save_file(ReaderNet(CONFIG).state_dict(), tmp_path / "model.safetensors")
    write_config(tmp_path / "config.json", CONFIG, Trust())
    result = gate(Reader.load(tmp_path), 2, 2, lambda *_: None)
    names = [figure.name for figure in result.figures]
    assert names == [
        *EVERYTHING,
        "unknown on noise",
        "unknown on blur",
        "unknown on cross-fade",
        "unknown on erased",
    ]
    better = replace(result, figures=(Figure(name="shape", value=0.99, asked=">= 0.98"), *result.figures[1:]))
    assert "shape" in passed(better)
    record(better, tmp_path)
    assert Reader.load(tmp_path).trust.reported == passed(better)
    assert (tmp_path / "gate.json").exists()
