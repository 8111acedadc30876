"""Published numbers that the angles of time and position must hit: `tests/golden/wan.json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from longtake.models.attention import Grid, rotary
from longtake.models.wan_layers import sinusoid

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "wan.json").read_text())


@pytest.mark.parametrize("timestep", GOLDEN["time_sinusoid"]["timesteps"])
def test_the_time_sinusoid_has_cosines_first_at_fractional_steps(timestep: str) -> None:
    size = GOLDEN["time_sinusoid"]["size"]
    expected = GOLDEN["time_sinusoid"]["timesteps"][timestep]
    got = sinusoid(torch.tensor([float(timestep)]), size)[0]
    assert got.dtype == torch.float64
    assert got[:3].tolist() == pytest.approx(expected["cos"], abs=1e-6)
    assert got[size // 2 : size // 2 + 3].tolist() == pytest.approx(expected["sin"], abs=1e-6)


def test_each_axis_has_its_own_channels_and_spectrum() -> None:
    table = GOLDEN["rotary"]
    angles = rotary((0, 1), Grid(2, 2), table["head_dim"], torch.device("cpu")).angle().view(2, 2, 2, -1)
    assert angles.shape[-1] == sum(table["pairs"].values()) == table["head_dim"] // 2
    steps = {"time": angles[1, 0, 0], "height": angles[0, 1, 0], "width": angles[0, 0, 1]}
    start = 0
    for axis, count in table["pairs"].items():
        own = steps[axis][start : start + count]
        assert own[:3].tolist() == pytest.approx(table[axis], abs=1e-6)
        assert (own > 0).all()
        assert steps[axis].count_nonzero() == count, f"{axis} turns channels of another axis"
        start += count
