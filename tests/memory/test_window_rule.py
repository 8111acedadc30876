"""Windows as pure rules: what is remembered, seen, and where it stands."""

from __future__ import annotations

import pytest

from longtake.errors import UserError
from longtake.memory.window_rule import WindowRule
from longtake.models.hub import presets


def rule_of(name: str) -> WindowRule:
    return WindowRule.of(presets()[name].policy)


def test_longlive_sees_its_sink_and_nine_frames_with_the_block() -> None:
    rule = rule_of("longlive")
    assert rule.seen(30, 3) == (0, 1, 2, 24, 25, 26, 27, 28, 29)
    assert rule.positions((0, 29), (30,)) == (0, 29, 30)
    assert rule_of("longlive-inf").positions((0, 29), (30,)) == (0, 1, 2)


def test_positions_follow_the_order_of_the_slots_and_the_places_in_time() -> None:
    assert rule_of("longlive-inf").positions((0, 29, 28), (30,)) == (0, 2, 1, 3)


def test_rolling_forcing_sees_three_frames_beside_its_sink_in_a_full_window_and_more_towards_the_end() -> (
    None
):
    rule = rule_of("rolling-forcing")
    assert rule.seen(30, 15) == (0, 1, 2, 27, 28, 29)
    assert rule.seen(30, 3) == (0, 1, 2, *range(15, 30))
    assert rule.seen(3, 15) == (0, 1, 2)


def test_rolling_forcing_remembers_a_block_beside_the_latest_frames_only() -> None:
    """The sink is among them until 24 frames are cached."""
    rule = rule_of("rolling-forcing")
    assert rule.seen(18, 3, clean=True) == tuple(range(18))
    assert rule.seen(21, 3, clean=True) == tuple(range(3, 21))
    assert rule.seen(60, 3, clean=True) == tuple(range(42, 60))


def test_a_new_sink_is_remembered_from_where_it_begins() -> None:
    rule = rule_of("longlive")
    assert rule.kept(30, origin=18) == (18, 19, 20, 24, 25, 26, 27, 28, 29)


def test_no_more_frames_are_ever_remembered_than_there_are_slots() -> None:
    for name in ("self-forcing", "longlive", "reward-forcing", "rolling-forcing", "mini"):
        rule = rule_of(name)
        kept = [len(rule.kept(count)) for count in range(60)]
        assert max(kept) == rule.slots
        assert kept == sorted(kept)


def test_an_ema_sink_that_would_forget_a_block_unseen_is_refused() -> None:
    with pytest.raises(UserError, match="window of 9 or more"):
        WindowRule(window=8, sink=3, block=3, alpha=0.9)
