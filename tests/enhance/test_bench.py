"""Figures of joins, and the ablation of blending on a tiny enhancer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtake.enhance.tiling import Tiling
from longtake.measure.blending import VARIANTS, Subject, blending, random_enhancer, subject
from longtake.measure.joins import at_joins, flow_lengths, join_pairs, motion_deviation, xt_sheet, xt_slice
from longtake.measure.report import section
from longtake.pipeline import Pipeline
from tests.tiny import tiny_folder


def moving(shifts: list[int], side: int = 64) -> np.ndarray:
    """A texture that moves by so many pixels from frame to frame."""
    y, x = np.meshgrid(np.arange(side), np.arange(side * 4), indexing="ij")
    wave = np.sin(0.5 * x) + np.sin(0.23 * x + 0.31 * y) + np.cos(0.37 * y)
    texture = np.repeat((127 + 40 * wave)[..., None], 3, -1).astype(np.uint8)
    places = np.cumsum([side, *shifts])
    return np.stack([texture[:, at : at + side] for at in places])


def test_motion_deviation_is_that_of_the_motion() -> None:
    steady, jumping = (flow_lengths(moving(shifts)) for shifts in ([2] * 8, [2, 2, 2, 5, 2, 2, 2, 2]))
    assert steady.mean() == pytest.approx(2, abs=0.2)
    assert motion_deviation(steady) < 0.15
    assert motion_deviation(jumping) == pytest.approx(np.std([2, 2, 2, 5, 2, 2, 2, 2]), abs=0.25)
    assert motion_deviation(np.array([1.0, 3.0])) == 1.0


def test_pairs_at_joins_are_those_of_the_overlaps() -> None:
    assert join_pairs(Tiling(length=4, overlap=2), 6, 1) == [1, 2, 3]  # overlap 2…3, and its edges
    assert join_pairs(Tiling(length=4, overlap=2), 6, 4) == [4, 5, 6, 7, 8, 9, 10, 11, 12]  # pixels 5…12
    assert join_pairs(Tiling(length=4, overlap=2), 4, 4) == []


def test_motion_at_joins_is_a_ratio() -> None:
    assert at_joins(np.array([1.0, 1.0, 3.0, 1.0]), [2]) == 3.0
    assert at_joins(np.ones(4), []) is None
    assert at_joins(np.ones(2), [0, 1]) is None


def test_a_slice_is_one_row_over_time() -> None:
    frames = np.zeros((5, 6, 4, 3), np.uint8)
    frames[:, 3, :, 0] = np.arange(5)[:, None] * 10
    assert xt_slice(frames).shape == (4, 5, 3)
    assert xt_slice(frames)[0, :, 0].tolist() == [0, 10, 20, 30, 40]
    assert not xt_slice(frames, row=0).any()
    assert xt_sheet({"a": frames, "b": frames}).size == (20, 2 * (4 + 14))


@pytest.mark.filterwarnings("ignore:the enhancer of mini was trained at")
def test_the_ablation_says_what_it_measured(tmp_path: Path) -> None:
    told: list[int] = []
    found = Subject(enhancer=random_enhancer(Pipeline.from_pretrained("mini")), weights="random")
    result = blending(found, 2, 33, 16, lambda done, total, what: told.append(done), tmp_path)
    figures = {figure.name: figure for figure in result.figures}
    for name in ("enlarged only", *VARIANTS):
        deviation = figures[f"{name}: motion deviation"]
        assert deviation.count == 2
        assert deviation.value is not None
        assert deviation.interval is not None
        assert deviation.interval[0] <= deviation.value <= deviation.interval[1]
    assert figures["B+S+RB live: deviation below that of B"].interval is not None
    values = {figures[f"{name}: motion deviation"].value for name in VARIANTS}
    assert len(values) == len(VARIANTS), "every variant joins in its own way"
    assert told == [1, 2]
    assert result.config["window"] == 6
    assert result.notes
    assert (tmp_path / "blending-xt.png").is_file()
    assert "B+S+RB exact" in section(result)


def test_a_model_without_an_enhancer_is_measured_with_random_weights(tmp_path: Path) -> None:
    found = subject(tiny_folder(tmp_path))
    assert found.weights == "random"
    assert found.enhancer.spec.native.width == 64
