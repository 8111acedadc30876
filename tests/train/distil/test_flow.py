"""Step lists, indices of blocks, and the timestep at which scores are compared."""

import numpy as np
import pytest
import torch

from longtake.models.hub import presets
from longtake.models.steps import FewStepSpec
from longtake.train.distil.flow import StepLevels, block_index, clean_of, gather_states, score_timesteps


def levels(preset: str) -> StepLevels:
    sampler = presets()[preset].policy.sampler
    assert isinstance(sampler, FewStepSpec)
    return StepLevels.of(sampler)


def test_levels_are_those_of_the_published_lists() -> None:
    assert levels("causvid").timesteps == (1000.0, 757.0, 522.0, 0.0)
    assert levels("causvid").sigmas == pytest.approx((1.0, 0.756757, 0.521739, 0.0079444), abs=1e-6)
    assert levels("self-forcing").timesteps == pytest.approx((1000, 937.5, 833.3333, 625, 0), abs=1e-4)
    assert levels("self-forcing").sigmas[-1] == pytest.approx(0.0049801, abs=1e-7)


def test_clean_latents_follow_from_velocity() -> None:
    noisy, velocity = torch.full((1, 1, 2, 1, 1), 3.0), torch.full((1, 1, 2, 1, 1), 4.0)
    assert clean_of(noisy, velocity, torch.tensor([[0.25, 1.0]])).flatten().tolist() == [2.0, -1.0]


def test_an_index_is_the_same_in_all_frames_of_a_block() -> None:
    index = block_index(np.random.default_rng(0), 5, 64, 8, 3)
    assert index.shape == (64, 8)
    assert (index[:, 0] == index[:, 2]).all()
    assert (index[:, 3] == index[:, 5]).all()
    assert (index[:, 0] != index[:, 3]).any()
    assert set(np.unique(index)) == {0, 1, 2, 3, 4}, "the clean entry is drawn too"


def test_gather_takes_of_each_frame_the_state_at_its_index() -> None:
    # states[b, k, :, f] = 100·b + 10·k + f
    b, k, f = torch.meshgrid(torch.arange(2), torch.arange(3), torch.arange(4), indexing="ij")
    states = (100 * b + 10 * k + f).float()[:, :, None, :, None, None].expand(2, 3, 2, 4, 1, 1)
    got = gather_states(states, torch.tensor([[0, 0, 2, 2], [1, 1, 0, 0]]))
    assert got.shape == (2, 2, 4, 1, 1)
    assert got[:, 0, :, 0, 0].tolist() == [[0, 1, 22, 23], [110, 111, 102, 103]]
    assert torch.equal(got[:, 0], got[:, 1])


def test_score_timesteps_are_shifted_whole_numbers_held_between_bounds() -> None:
    drawn = score_timesteps(np.random.default_rng(0), 4000, 5.0, 20.0, 980.0)
    assert min(drawn) == 20.0
    assert max(drawn) == 980.0
    inner = np.array([t / 1000 for t in drawn if 20 < t < 980])
    before = 1000 * inner / (5 - 4 * inner)  # the inverse of 5u / (1 + 4u)
    assert np.abs(before - before.round()).max() < 1e-6
    assert abs(np.median(drawn) - 1000 * 5 * 0.5 / (1 + 4 * 0.5)) < 20
