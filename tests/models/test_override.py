"""What belongs to a checkpoint changes only when it is forced, and only to what fits together."""

from __future__ import annotations

import pytest

from longtake import UserError
from longtake.models.hub import presets
from longtake.models.override import override
from longtake.models.windows import RollingWindow

LONGLIVE = presets()["longlive"].policy


def test_nothing_asked_or_the_same_asked_changes_nothing() -> None:
    assert override(LONGLIVE, "longlive") is LONGLIVE
    assert override(LONGLIVE, "longlive", block=3, window=12, sink=3) is LONGLIVE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 9}, "window 9: 'longlive' was made for 12; leave it out, or force it"),
        ({"sink": 0}, "sink 0: 'longlive' was made for 3"),
        ({"block": 1}, "block 1: 'longlive' was made for 3"),
    ],
)
def test_what_the_checkpoint_was_not_made_for_is_refused_unless_forced(
    change: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        override(LONGLIVE, "longlive", **change)  # type: ignore[arg-type]
    assert override(LONGLIVE, "longlive", **change, force=True) != LONGLIVE  # type: ignore[arg-type]


def test_forced_values_are_in_force_and_the_rest_stays() -> None:
    forced = override(LONGLIVE, "longlive", block=1, window=9, sink=2, force=True)
    assert forced.window == RollingWindow(kind="rolling", frames=9, sink=2)
    assert forced == LONGLIVE.model_copy(update={"block": 1, "window": forced.window})


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        ("longlive", {"window": 5}, "window 5 cannot hold sink 3 and block 3"),
        ("streamdiffusion-v2", {"block": 3}, "one frame at a time"),
        ("causvid", {"sink": 3}, "sink 3 does not fit 'causvid'"),
    ],
)
def test_what_does_not_fit_together_is_refused_even_when_forced(
    model: str, change: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        override(presets()[model].policy, model, **change, force=True)  # type: ignore[arg-type]
