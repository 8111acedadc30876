"""Thresholds, noise and joins."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch

from longtake.enhance.blending import BLENDINGS, Blending, blending
from longtake.enhance.levels import flow_levels
from longtake.enhance.tiling import Tiling
from longtake.errors import UserError
from tests.enhance.toy import course, video

OVERLAP, DRAWS = 8, 4000


def frequencies(name: str) -> Counter[int]:
    draw = BLENDINGS[name].thresholds(5, OVERLAP)
    return Counter(draw(join, step) for join in range(DRAWS // 20) for step in range(20))


@pytest.mark.parametrize(
    ("name", "most"), [("randomized", 8), ("randomized-short", 7), ("randomized-x0-short", 7)]
)
def test_thresholds_are_uniform_up_to_their_published_end(name: str, most: int) -> None:
    found = frequencies(name)
    assert set(found) == set(range(most + 1))
    expected = DRAWS / (most + 1)
    squared = sum((count - expected) ** 2 / expected for count in found.values())
    assert squared < 26.1, found  # 99.9 % point of χ² with 8 degrees of freedom


def test_how_often_a_frame_is_the_left_windows_is_as_published() -> None:
    for name, divisor in (("randomized", OVERLAP + 1), ("randomized-x0-short", OVERLAP)):
        found = frequencies(name)
        for place in range(1, OVERLAP + 1):
            left = sum(count for threshold, count in found.items() if threshold >= place) / DRAWS
            assert abs(left - (1 - place / divisor)) < 0.03, (name, place, left)


def test_thresholds_depend_on_seed_join_and_step_alone() -> None:
    draw = Blending().thresholds(5, OVERLAP)
    table = [[draw(join, step) for step in range(12)] for join in range(12)]
    assert table == [
        [Blending().thresholds(5, OVERLAP)(join, step) for step in range(12)] for join in range(12)
    ]
    assert table != [
        [Blending().thresholds(6, OVERLAP)(join, step) for step in range(12)] for join in range(12)
    ]
    assert all(a != b for a, b in itertools.pairwise(table))
    assert table[0][:6] == [8, 2, 3, 8, 0, 6]  # a seed is a promise


def test_noise_is_shared_over_an_overlap_unless_a_window_has_its_own() -> None:
    frames, clean = (range(6), range(4, 10)), torch.zeros_like(video(6))
    for name in BLENDINGS:
        plain = course("ddim", BLENDINGS[name])
        left, right = (plain.begin(index, each, clean).x for index, each in enumerate(frames))
        assert torch.equal(left[:, :, 4:], right[:, :, :2]) == (name != "naive"), name
        for window in (left, right):
            assert window.std() > 0.5  # it is noise


def test_a_join_takes_the_first_frames_from_the_left() -> None:
    left, right = torch.zeros(1, 1, 4, 1, 1), torch.ones(1, 1, 4, 1, 1)
    joined = [Blending().join(left, right, threshold).flatten().tolist() for threshold in (0, 1, 4)]
    assert joined == [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]
    assert BLENDINGS["average"].join(left, right, 2).flatten().tolist() == [0.5] * 4


@pytest.mark.parametrize(
    ("length", "overlap", "says"),
    [
        (6, 6, "not longer than its overlap"),
        (4, 6, "use an overlap of 2"),
        (6, 4, "more than half"),
        (0, 0, "from 1"),
    ],
)
def test_windows_that_do_not_fit_are_refused(length: int, overlap: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Tiling(length=length, overlap=overlap)


def test_an_overlap_is_needed_to_blend() -> None:
    with pytest.raises(UserError, match="nothing to blend by 'randomized'"):
        course(overlap=0)
    with pytest.raises(UserError, match="unknown; use one of naive, shared"):
        blending("linear")


def test_windows_cover_every_frame_and_the_last_is_slid() -> None:
    tiling = Tiling(length=24, overlap=8)
    assert tiling.over(24) == [range(24)]
    assert tiling.over(56) == [range(24), range(16, 40), range(32, 56)]
    assert tiling.over(41)[-1] == range(17, 41)
    for total in range(24, 90):
        windows = tiling.over(total)
        assert windows[-1].stop == total
        assert {frame for window in windows for frame in window} == set(range(total))


def test_levels_begin_at_the_strength_and_end_clean() -> None:
    levels = flow_levels(0.6, 5, shift=3.0)
    assert levels[0].sigma == pytest.approx(0.6)
    assert levels[-1] == (0.0, 1.0, 0.0)
    assert len(levels) == 6
    assert all(level.timestep == pytest.approx(1000 * level.sigma) for level in levels)
    with pytest.raises(UserError, match=r"strength 1.5 is out of range"):
        flow_levels(1.5, 5)
