"""Noise levels of training samples: each mode by its definition, and their distribution."""

import numpy as np
import pytest
from pydantic import ValidationError

from longtake.train.config import NoiseConfig
from longtake.train.counters import numbers
from longtake.train.noise import draw_modes, draw_noise, draw_sigma

FRAMES, BLOCK, COUNT = 12, 3, 2000
BLOCK_OF = np.arange(FRAMES) // BLOCK


def plan(mode: str, **changes: object):  # type: ignore[no-untyped-def]
    config = NoiseConfig(**changes)
    return draw_noise(numbers(0, mode), [mode] * COUNT, FRAMES, BLOCK, config)


def test_shared_has_one_level_a_sample() -> None:
    drawn = plan("shared")
    assert (drawn.sigma == drawn.sigma[:, :1]).all()
    assert drawn.counts.all()


def test_blocks_have_their_own_levels() -> None:
    drawn = plan("blocks")
    for block in range(FRAMES // BLOCK):
        inside = drawn.sigma[:, block == BLOCK_OF]
        assert (inside == inside[:, :1]).all()
    ends = drawn.sigma[:, ::BLOCK]
    assert abs(np.corrcoef(ends[:, 0], ends[:, 1])[0, 1]) < 0.1
    assert drawn.counts.all()


def test_a_prefix_is_context_of_one_frame_or_more() -> None:
    drawn = plan("prefix")
    lengths = (~drawn.counts).sum(1)
    assert lengths.min() == 1
    assert lengths.max() == FRAMES - 1
    assert (np.diff(drawn.counts.astype(int), axis=1) >= 0).all(), "context comes first"
    rest = [row[counts] for row, counts in zip(drawn.sigma, drawn.counts, strict=True)]
    assert all((levels == levels[0]).all() for levels in rest)
    assert np.mean(lengths % BLOCK == 0) > 0.5, "whole blocks are favoured"


def test_context_is_clean_or_lightly_noised() -> None:
    drawn = plan("prefix", light_share=0.5, light_sigma=0.15)
    context = drawn.context_sigma
    assert 0.45 < (context == 0).mean() < 0.55
    assert 0.1 < context.max() <= 0.15
    assert all(
        (row[~counts] == c).all() for row, counts, c in zip(drawn.sigma, drawn.counts, context, strict=True)
    )


def test_prefix_block_is_a_streaming_step() -> None:
    drawn = plan("prefix_block")
    lengths = (~drawn.counts).sum(1)
    assert set(lengths) == {BLOCK, 2 * BLOCK, 3 * BLOCK}
    first = [row[n : n + BLOCK] for row, n in zip(drawn.sigma, lengths, strict=True)]
    assert all((levels == levels[0]).all() for levels in first)


def test_every_mode_works_on_clips_that_do_not_fill_their_blocks() -> None:
    for mode in ("shared", "blocks", "prefix", "prefix_block"):
        for frames in (2, 3, 4, 5):
            drawn = draw_noise(numbers(0, mode, frames), [mode] * 50, frames, BLOCK, NoiseConfig())
            assert drawn.counts.any(axis=1).all(), f"{mode} at {frames} frames leaves nothing to learn"


@pytest.mark.parametrize("kind", ["uniform", "logit_normal"])
def test_levels_follow_the_shift(kind: str) -> None:
    plain = draw_sigma(numbers(0, "σ"), 4000, NoiseConfig(sigma=kind, shift=1.0))
    shifted = draw_sigma(numbers(0, "σ"), 4000, NoiseConfig(sigma=kind, shift=3.0))
    assert np.median(plain) == pytest.approx(0.5, abs=0.01)
    assert np.median(shifted) == pytest.approx(0.75, abs=0.01)
    assert 0 < shifted.min() < shifted.max() <= 1


def test_levels_are_stratified() -> None:
    levels = np.sort(draw_sigma(numbers(0, "σ"), 10, NoiseConfig(shift=1.0)))
    assert (np.floor(levels * 10) == np.arange(10)).all()


def test_modes_follow_their_weights_and_teacher_takes_whole_batches() -> None:
    weights = {"shared": 0.5, "prefix": 0.25, "teacher": 0.25}
    batches = [draw_modes(numbers(0, "modes", i), 8, weights, FRAMES) for i in range(800)]
    teacher = [batch for batch in batches if "teacher" in batch]
    assert all(set(batch) == {"teacher"} for batch in teacher)
    assert 0.2 < len(teacher) / 800 < 0.3
    rest = [mode for batch in batches if "teacher" not in batch for mode in batch]
    assert 0.62 < rest.count("shared") / len(rest) < 0.71
    assert draw_modes(numbers(0, "modes"), 3, weights, 1) == ["shared"] * 3


def test_unknown_modes_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"sharde unknown; known are shared, blocks"):
        NoiseConfig(causal={"sharde": 1.0})
    with pytest.raises(ValidationError, match="teacher unknown"):
        NoiseConfig(bidirectional={"teacher": 1.0})
