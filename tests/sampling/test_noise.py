"""Counter-based noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.sampling.noise import CounterNoise, Purpose, check_seed, draw

SHAPE = (4, 3, 5)


def test_noise_of_a_frame_does_not_depend_on_what_is_drawn_with_it() -> None:
    source = CounterNoise(7)
    together = source(Purpose.INITIAL, range(4), 0, SHAPE)
    alone = source(Purpose.INITIAL, [2], 0, SHAPE)
    assert torch.equal(together[:, :, 2:3], alone)


def test_every_part_of_the_counter_matters() -> None:
    base = draw(7, Purpose.INITIAL, 3, 2, SHAPE)
    others = [
        draw(8, Purpose.INITIAL, 3, 2, SHAPE),
        draw(7, Purpose.RENOISE, 3, 2, SHAPE),
        draw(7, Purpose.INITIAL, 4, 2, SHAPE),
        draw(7, Purpose.INITIAL, 3, 1, SHAPE),
    ]
    assert all(np.corrcoef(base.flatten(), other.flatten())[0, 1] < 0.5 for other in others)
    assert torch.equal(base, draw(7, Purpose.INITIAL, 3, 2, SHAPE))


def test_values_are_fixed_for_ever() -> None:
    """A take's seed is a promise: these numbers may not change with a version."""
    expected = torch.tensor([GOLDEN])
    torch.testing.assert_close(draw(7, Purpose.INITIAL, 0, 0, (4,))[None], expected, rtol=0, atol=1e-6)


GOLDEN = [-0.2933390, 1.7038306, 1.5391918, 0.6367539]


def test_noise_is_standard_normal() -> None:
    values = draw(1, Purpose.INITIAL, 0, 0, (100_000,))
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert values.dtype == torch.float32


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(UserError, match=f"seed {seed}"):
        check_seed(seed)


def test_large_frames_drawn_side_by_side_are_the_same() -> None:
    shape = (4, 96, 96)
    together = CounterNoise(3)(Purpose.RENOISE, range(5), 2, shape)
    alone = [draw(3, Purpose.RENOISE, frame, 2, shape) for frame in range(5)]
    assert all(torch.equal(together[0, :, t], frame) for t, frame in enumerate(alone))
