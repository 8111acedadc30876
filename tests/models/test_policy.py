"""Policies as data: what the presets say, and what does not fit together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from longtake.models.hub import presets
from longtake.models.policy import Policy

KINDS = {
    "joint": {"wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "wan2.1-i2v-14b", "streamingt2v", "mini-teacher"},
    "rolling": {"rolling-forcing"},
    "stream-batch": {"streamdiffusion-v2", "streamdiffusion-v2-14b"},
}
CAUSAL = {
    "block": 3,
    "window": {"kind": "rolling", "frames": 12, "sink": 3},
    "sampler": {"kind": "few-step", "steps": [1000, 500], "shift": 5, "warp": True},
}
ADAPTIVE = {"kind": "adaptive-sink", "frames": 6, "sink": 3, "threshold": 0.2}
RECOMPUTE = {"kind": "recompute", "frames": 3}
ROLLING = {"kind": "rolling", "steps": [1000, 800, 600, 400, 200], "shift": 5, "warp": True}
STREAM_BATCH = {"kind": "stream-batch", "steps": [700, 500], "shift": 8, "warp": False}
RECACHE = {"kind": "recache", "keep_sink": True}


def test_every_preset_is_of_the_kind_that_its_authors_made() -> None:
    for name, preset in presets().items():
        expected = next((kind for kind, names in KINDS.items() if name in names), "causal")
        assert preset.policy.kind == expected, name


@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("causvid", 21),
        ("self-forcing", 1023),
        ("causal-forcing-frame", 1024),
        ("longlive", 1023),
        ("longlive-inf", None),
        ("reward-forcing", None),
        ("rolling-forcing", None),
        ("krea-14b", None),
        ("streamdiffusion-v2", None),
        ("mini", None),
        ("wan2.1-t2v-14b", 21),
    ],
)
def test_a_take_is_as_long_as_window_and_positions_allow(name: str, longest: int | None) -> None:
    assert presets()[name].policy.longest(1024) == longest


def test_a_policy_survives_being_written_and_read() -> None:
    for preset in presets().values():
        assert Policy.model_validate(preset.policy.model_dump(mode="json")) == preset.policy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": {"kind": "rolling", "frames": 5, "sink": 3}}, "window 5 cannot hold sink 3 and block 3"),
        ({"window": {"kind": "full", "frames": 2}}, "use a window of 3 or more"),
        ({"window": RECOMPUTE}, "go together"),
        ({"position": {"kind": "restart"}}, "go together"),
        ({"window": {"kind": "clip", "frames": 21}}, "one block"),
        ({"window": ADAPTIVE}, "one frame at a time"),
        ({"window": ADAPTIVE, "block": 1, "position": {"kind": "relative"}}, "no order in time"),
        ({"window": ADAPTIVE, "block": 1, "prompt_change": RECACHE}, "adaptive sink"),
        ({"prompt_change": RECACHE, "context": {"kind": "none"}}, "recache needs a cache"),
        (
            {"window": RECOMPUTE, "position": {"kind": "restart"}, "prompt_change": RECACHE},
            "recache needs a cache",
        ),
        ({"window": RECOMPUTE, "position": {"kind": "restart"}, "context": {"kind": "none"}}, "has no cache"),
        ({"sampler": STREAM_BATCH}, "use context 'none'"),
        ({"sampler": ROLLING}, "window of 18 or more"),
        ({"rollout": {"kind": "overlap", "frames": 4}}, "whole blocks of 3"),
        ({"attention_bias": 0.0}, "greater than or equal to 0.01"),
        ({"sampler": CAUSAL["sampler"] | {"steps": [500, 1000]}}, "must fall"),  # type: ignore[operator]
        ({"sampler": CAUSAL["sampler"] | {"steps": []}}, "at least 1 item"),  # type: ignore[operator]
        ({"sampler": CAUSAL["sampler"] | {"steps": [1000.5, 3]}}, "at most 1000"),  # type: ignore[operator]
        ({"window": {"kind": "ema-sink", "frames": 12, "sink": 3, "alpha": 1.0}}, "less than 1"),
        ({"position": {"kind": "sideways"}}, "position"),
        ({"guidance_until": 0.5, "context": {"kind": "none"}}, "guidance_until"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Policy.model_validate(CAUSAL | change)
