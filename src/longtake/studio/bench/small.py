"""A model that is smaller than any that is shipped: random weights, for figures that depend on speed alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import yaml

from longtake.measure.random_weights import random_transformer
from longtake.models.hub import look_up
from longtake.models.wan import WanTransformer

SIDE, LAYERS, STEPS, WINDOW = 48, 2, 2, 6


def small_model(folder: Path) -> Path:
    """Write it into a folder: mini's codec and words, a quarter of its picture, a quarter of its layers."""
    mini = look_up("mini")
    assert mini.folder is not None
    for part in ("codec", "text_encoder", "tokenizer"):
        shutil.copytree(mini.folder / part, folder / part)
    config = WanTransformer.from_pretrained(mini.folder / "transformer").config
    random_transformer(replace(config, num_layers=LAYERS)).save_pretrained(folder / "transformer")
    preset = mini.preset.model_dump(mode="json")
    policy = preset["policy"]
    preset |= {"name": "small", "summary": "random weights, for benchmarks", "folder": ".", "folders": {}}
    preset["native"] |= {"width": SIDE, "height": SIDE}
    policy["window"] |= {"frames": WINDOW}
    policy["sampler"] |= {"num_inference_steps": STEPS}
    policy["guidance_scale"] = 1.0
    (folder / "preset.yaml").write_text(yaml.safe_dump(preset))
    return folder
