"""Proxy-FVD: the distance of known distributions, its scale, its intervals, and what the reader's features see."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.errors import UserError
from longtake.measure.frechet import distances, extrapolated, frechet, ratio, ratio_figure
from longtake.world.reader import Reader
from longtake.world.render import render
from longtake.world.scene import sample_scene


def draw(count: int, mean: float = 0.0, spread: float = 1.0, width: int = 3, seed: int = 0) -> np.ndarray:
    return mean + spread * np.random.default_rng(seed).standard_normal((count, width))


def exactly(mean: np.ndarray, covariance: np.ndarray, count: int = 64) -> np.ndarray:
    """Rows whose mean and covariance are exactly these."""
    rows = draw(count, width=len(mean))
    rows -= rows.mean(0)
    whitened = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    return mean + whitened @ np.linalg.cholesky(covariance).T


def test_the_distance_of_gaussians_is_the_closed_form() -> None:
    one = exactly(np.array([1.0, 2.0, 3.0]), np.diag([1.0, 4.0, 9.0]))
    other = exactly(np.array([1.0, 0.0, 3.0]), np.diag([4.0, 4.0, 1.0]))
    assert frechet(one, other) == pytest.approx(4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)
    turn = np.linalg.qr(draw(3))[0]
    assert frechet(one @ turn, other @ turn) == pytest.approx(frechet(one, other)), "no axis is special"


def test_covariances_that_do_not_commute() -> None:
    first = np.array([[2.0, 1.0], [1.0, 2.0]])
    second = np.array([[3.0, 0.0], [0.0, 1.0]])
    one, other = exactly(np.zeros(2), first), exactly(np.zeros(2), second)
    root_trace = np.sqrt(np.linalg.eigvals(first @ second).real).sum()
    assert frechet(one, other) == pytest.approx(4 + 4 - 2 * root_trace)


def test_equal_sets_have_no_distance_and_units_do_not_matter() -> None:
    true, made = draw(200, seed=1), draw(200, mean=1.0, seed=2)
    assert distances(true, true, draws=2).value == pytest.approx(0.0, abs=1e-9)
    scale = np.array([1.0, 100.0, 0.01])
    plain, changed = distances(true, made, draws=5), distances(true * scale, made * scale, draws=5)
    assert changed.value == pytest.approx(plain.value)
    assert plain.interval[0] <= plain.interval[1]


def test_features_that_never_change_are_left_out() -> None:
    true, made = draw(50, seed=1), draw(50, seed=2)
    with_constant = [np.c_[rows, np.full(50, 7.0)] for rows in (true, made)]
    assert distances(*with_constant, draws=2).value == pytest.approx(distances(true, made, draws=2).value)


def test_the_ratio_of_a_student_that_is_its_teacher_is_one() -> None:
    true, teacher = draw(100, seed=1), draw(100, mean=0.5, seed=2)
    same = ratio(true, teacher, teacher, draws=20)
    assert same is not None
    assert (same.value, same.interval) == (1.0, (1.0, 1.0)), "clips are paired"
    worse = ratio(true, draw(100, mean=2.0, seed=2), teacher, draws=50)
    assert worse is not None
    assert worse.interval[0] > 1.15


def test_the_bias_of_finite_sets_is_taken_off() -> None:
    """Two hundred clips a set, forty features: the plain distance is several times too far."""
    true, made = draw(200, width=40, seed=1), draw(200, mean=0.1, spread=1.05, width=40, seed=2)
    closed = 40 * (0.1**2 + 0.05**2)
    assert frechet(true, made) > 6 * closed
    assert extrapolated(true, made) == pytest.approx(closed, abs=closed)
    found = distances(true, made, draws=50)
    assert found.interval[0] <= closed <= found.interval[1]


def test_a_student_twice_as_far_does_not_pass_for_its_teacher() -> None:
    true, teacher = draw(400, width=40, seed=1), draw(400, mean=0.2, width=40, seed=2)
    student = draw(400, mean=0.3, width=40, seed=3)
    plain = frechet(true, student) / frechet(true, teacher)
    over = ratio(true, student, teacher, draws=50)
    assert over is not None
    assert abs(over.value - 2.25) < abs(plain - 2.25) / 2, (over.value, plain)
    assert over.interval[1] > 2


def test_a_ratio_to_what_cannot_be_told_from_the_truth_is_not_given() -> None:
    true, teacher, student = (draw(12, width=8, seed=seed) for seed in (1, 2, 3))
    over = ratio(true, student, teacher, draws=50)
    assert over is None
    assert "too few clips" in ratio_figure("x", over).note


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UserError, match="sets of 10, 12 clips"):
        distances(draw(10), draw(12))
    with pytest.raises(UserError, match="at least 4"):
        distances(draw(3), draw(3))


def test_the_readers_features_tell_faults_from_trifles() -> None:
    """Clips that stand still or have other colours are much further from true ones than clips with faint noise."""
    reader = Reader.load()
    clips = np.stack(
        [render(sample_scene(seed, level=1), 16, size=(96, 96), fps=8).frames for seed in range(8)]
    )
    true = reader.features(clips)
    assert true.shape == (8, 2 * 64 + 96)
    grain = np.random.default_rng(0).integers(-1, 2, clips.shape)
    faint = frechet(true, reader.features(np.clip(clips + grain, 0, 255).astype(np.uint8)))
    faults = {"still": np.repeat(clips[:, :1], 16, axis=1), "colours turned round": clips[..., ::-1].copy()}
    for name, made in faults.items():
        found = frechet(true, reader.features(made))
        assert found > 10 * faint, f"{name}: {found:.2f} against {faint:.2f}"
