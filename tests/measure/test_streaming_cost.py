"""What a cache can save at most: the count beside the measured ratio."""

from dataclasses import replace

import pytest

from longtake.measure.streaming_cost import NETWORK, counted


def test_matrices_alone_and_attention_alone() -> None:
    """4·(1 + … + 7) passes of a block against 5·7; 4·(1 + 3 + … + 28) pairs of blocks against 5·28."""
    assert counted(replace(NETWORK, ffn_dim=10**12), 1) == pytest.approx(4 * 28 / (5 * 7), rel=1e-4)
    assert counted(NETWORK, 10**9) == pytest.approx(4 * 84 / (5 * 28), rel=1e-4)


def test_larger_frames_gain_less() -> None:
    ratios = [counted(NETWORK, tokens) for tokens in (28, 112, 448, 1560)]
    assert ratios == sorted(ratios, reverse=True)
