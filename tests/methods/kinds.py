"""A tiny policy for every way of making video that the methods know."""

from __future__ import annotations

from typing import Any

FEW_STEP = {"kind": "few-step", "steps": [1000, 500], "shift": 5, "warp": True}

CLIP: dict[str, Any] = {"block": 4, "window": {"kind": "clip", "frames": 4}}
WINDOWS: dict[str, Any] = {"kind": "windows", "stride": 2, "limit": 12}

KINDS: dict[str, dict[str, Any]] = {
    "causal": {},
    "recached": {"prompt_change": {"kind": "recache", "keep_sink": True}},
    "ema sink": {"window": {"kind": "ema-sink", "frames": 8, "sink": 2, "alpha": 0.9}},
    "recomputed": {
        "window": {"kind": "recompute", "frames": 3},
        "position": {"kind": "restart"},
        "attention_bias": 0.3,
    },
    "joint": {"block": 6, "window": {"kind": "clip", "frames": 6}},
    "rolling": {
        "window": {"kind": "rolling", "frames": 8, "sink": 2},
        "guidance_scale": 1,
        "sampler": {"kind": "rolling", "steps": [1000, 600, 300], "shift": 5, "warp": True},
    },
    "stream-batch": {
        "block": 1,
        "window": {"kind": "adaptive-sink", "frames": 4, "sink": 1, "threshold": 0.2},
        "position": {"kind": "absolute", "restart_at": 9},
        "context": {"kind": "none"},
        "guidance_scale": 1,
        "sampler": {"kind": "stream-batch", "steps": [700, 500, 400], "shift": 8, "warp": False},
        "source": {"strength": 0.9, "begin_below": 100, "motion": True},
    },
    "overlap": {
        "window": {"kind": "full", "frames": 6},
        "position": {"kind": "absolute"},
        "rollout": {"kind": "overlap", "frames": 2},
        "guidance_scale": 1,
        "sampler": FEW_STEP,
    },
    "wide overlap": {
        "window": {"kind": "full", "frames": 8},
        "position": {"kind": "absolute"},
        "rollout": {"kind": "overlap", "frames": 4},
        "guidance_scale": 1,
        "sampler": FEW_STEP,
    },
    "last frame": CLIP | {"rollout": {"kind": "last-frame"}},
    "tail": CLIP | {"rollout": {"kind": "tail", "frames": 2}},
    "fifo": CLIP | {"rollout": {"kind": "fifo", "clips": 2}},
    "averaged windows": CLIP | {"rollout": WINDOWS | {"fuse": "prediction"}},
    "fused windows": CLIP | {"rollout": WINDOWS | {"fuse": "attention", "shuffled_noise": True}},
}
