"""A tiny enhancer of the real classes, random weights: twice as large, windows of 3 latent frames, 2 steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from longtake.enhance.enhancer import Enhancer
from longtake.enhance.spec import SPEC_FILE, EnhancerSpec
from longtake.enhance.wan import WanDenoiser
from longtake.models.text import TextEncoder
from tests.tiny import TINY_WAN, TINY_WORDS, tiny_patch_codec, tiny_transformer

VALUES: dict[str, Any] = {
    "name": "tiny",
    "licence": "Apache-2.0",
    "backbone": "wan",
    "native": {"width": 32, "height": 32, "fps": 8},
    "window": 3,
    "overlap": 1,
    "steps": 2,
    "guidance_scale": 1.5,
    "schedule": {"kind": "flow", "shift": 2.0},
}


def tiny_spec(**changes: object) -> EnhancerSpec:
    return EnhancerSpec.model_validate(VALUES | changes)


def tiny_text() -> TextEncoder:
    torch.manual_seed(0)
    encoder = TextEncoder.small(TINY_WORDS, d_model=24, layers=1, heads=2, d_ff=32, max_length=12)
    return encoder.eval().requires_grad_(False)


def tiny_denoiser(guidance_scale: float = 1.5) -> WanDenoiser:
    config = replace(TINY_WAN, in_channels=4, out_channels=4, num_layers=1)
    return WanDenoiser(
        backbone=tiny_transformer(config, seed=7), text_encoder=tiny_text(), guidance_scale=guidance_scale
    )


def tiny_enhancer(**changes: object) -> Enhancer:
    return Enhancer(tiny_spec(**changes), tiny_denoiser(), tiny_patch_codec())


def tiny_enhancer_folder(model: Path, **changes: object) -> Path:
    """Put an enhancer into the folder of a tiny model."""
    folder = model / "enhancer"
    tiny_denoiser().backbone.save_pretrained(folder / "transformer")
    (folder / SPEC_FILE).write_text(yaml.safe_dump(VALUES | changes))
    return folder


def clip(frames: int, side: int = 16, seed: int = 0) -> np.ndarray:
    """`uint8 [T, H, W, 3]`: a smooth pattern that moves."""
    phase = np.random.default_rng(seed).random(3) * 6
    t, y, x = np.meshgrid(np.arange(frames), np.arange(side), np.arange(side), indexing="ij")
    waves = [
        np.sin(0.4 * x + 0.2 * t + phase[0]),
        np.cos(0.3 * y - 0.3 * t + phase[1]),
        np.sin(0.1 * t * y / side),
    ]
    return np.stack([127 + 90 * wave for wave in waves], axis=-1).astype(np.uint8)
