"""Tiny students, teachers and critics of the real classes, a config for them, and a model's folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from longtake.models.text import TextEncoder
from longtake.models.wan import WanConfig, WanTransformer
from longtake.train.config import OptimiserConfig
from longtake.train.device import choose_compute
from longtake.train.distil.backbone import Backbone, Prompts
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.stage import Roles
from tests.tiny import redraw, tiny_patch_codec
from tests.train.sets import CELLS, CHANNELS, WORDS

COMPUTE = choose_compute("cpu", "float32")
SHAPE = (CHANNELS, CELLS, CELLS)
WAN = WanConfig(
    num_attention_heads=2,
    attention_head_dim=12,
    ffn_dim=32,
    num_layers=2,
    freq_dim=16,
    text_dim=16,
    in_channels=CHANNELS,
    out_channels=CHANNELS,
)
FAST = OptimiserConfig(hidden="adamw", adamw_lr=1e-3, warmup_steps=2)
POLICY = {
    "block": 2,
    "window": {"kind": "rolling", "frames": 6, "sink": 1},
    "position": {"kind": "relative"},
    "prompt_change": {"kind": "recache", "keep_sink": True},
    "sampler": {"kind": "few-step", "steps": [1000, 500], "shift": 3, "warp": True},
}
ODE = {"kind": "ode", "num_inference_steps": 2, "shift": 3}
MATCHING = {
    "steps": 6,
    "ratio": 2,
    "frames": 4,
    "levels": {1: 1, 2: 1},
    "optimiser": FAST.model_dump(),
    "critic": FAST.model_dump(),
    "scores": {"guidance": 2.0, "shift": 3},
}


def config(**changes: object) -> DistilConfig:
    """A distillation of blocks of two frames in a window of six, at timesteps 1000 and 750."""
    plain = {name: MATCHING[name] for name in ("steps", "frames", "levels", "optimiser")}
    values = {
        "native": {"width": 32, "height": 32, "fps": 8},
        "policy": POLICY,
        "causal": plain,
        "ode_pairs": {
            "pairs": 4,
            "validation_pairs": 1,
            "shard_pairs": 2,
            "frames": 4,
            "num_inference_steps": 4,
            "shift": 3,
            "guidance_scale": 2.0,
        },
        "guidance": plain | {"grid": 4, "until": 0.6, "sampler": ODE},
        "ode": plain,
        "consistency": plain | {"grid": 4, "until": 0.8},
        "dmd": MATCHING,
        "self_forcing": MATCHING,
        "long_tuning": MATCHING | {"advance": 2, "length": 10},
        "log_steps": 1,
        "validate_steps": 100,
    }
    return DistilConfig.model_validate(values | changes)


def prompts(seed: int = 0) -> Prompts:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = TextEncoder.small(WORDS, d_model=16, layers=1, heads=2, d_ff=32, max_length=12)
    return Prompts(encoder.eval().requires_grad_(False))


def backbone(seed: int = 0, *, trained: bool = True, wan: WanConfig = WAN) -> Backbone:
    transformer = WanTransformer(wan)
    redraw(transformer, seed)
    return Backbone(transformer.requires_grad_(trained), prompts())


def constant(value: float, *, trained: bool = False) -> Backbone:
    """A network whose velocity is `value` everywhere, whatever it reads."""
    made = backbone(trained=trained)
    with torch.no_grad():
        made.transformer.proj_out.weight.zero_()
        made.transformer.proj_out.bias.fill_(value)
    return made


class Away(Tensor):
    """Stands for a tensor on a GPU: what is computed from it is away too, and only `cpu` brings it back."""

    def cpu(self) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor)


def roles() -> Roles:
    return Roles(student=backbone(1), teacher=backbone(2, trained=False), critic=backbone(3))


def model_folder(folder: Path, *, seed: int = 0, text_seed: int = 0, wan: WanConfig = WAN) -> Path:
    """A folder as `longtake train export` writes it."""
    made = backbone(seed, wan=wan)
    made.transformer.save_pretrained(folder / "transformer")
    prompts(text_seed).encoder.save(folder)
    tiny_patch_codec().save_pretrained(folder / "codec")
    return folder
