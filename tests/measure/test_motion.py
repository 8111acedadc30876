"""Flow and cuts on clips whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.measure.cuts import cuts
from longtake.measure.motion import flow, in_range


def texture(width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (24, width // 4, 3)).astype(np.float32)
    wide = coarse.repeat(4, 0).repeat(4, 1)
    return ((wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1)) / 3).astype(np.uint8)


@pytest.mark.parametrize("step", [0, 1, 3])
def test_flow_of_a_translation_is_its_step(step: int) -> None:
    wide = texture(128)
    clip = np.stack([wide[:, 16 - step * t : 112 - step * t] for t in range(4)])
    moved = np.median(flow(clip), axis=(0, 1, 2))
    assert moved == pytest.approx([step, 0], abs=0.1)


def test_cuts_are_found_where_they_are_and_nowhere_else() -> None:
    rng = np.random.default_rng(1)
    scenes = [rng.integers(0, 256, 3).astype(np.uint8) for _ in range(3)]
    clip = np.concatenate([np.broadcast_to(colour, (40, 32, 32, 3)) for colour in scenes])
    assert cuts(clip) == [40, 80]
    assert cuts(clip[:40]) == []


def test_flow_is_compared_within_its_range() -> None:
    assert in_range(1.0, 1.9)
    assert not in_range(0.4, 1.0)
    assert not in_range(2.1, 1.0)
    assert not in_range(None, 1.0)
    assert in_range(0.05, 0.0)
    assert not in_range(1.0, 0.0)
