"""Archives as they are published: every network under its prefix, in a Lightning checkpoint or repackaged."""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from tests.drawn import drawn
from tests.models.unet.openclip_vision import shapes
from tests.models.unet.sizes import tiny_unet
from tests.tiny_streaming import PUBLISHED_UNET, VAE, streaming_preset, tiny_clip_text, tiny_kl_codec

Tensors = dict[str, Tensor]
LAYERS, PATCH = 2, 14
PUBLISHED_VAE = VAE | {
    "block_out_channels": [32, 32, 32, 32],
    "norm_num_groups": 32,
    "scaling_factor": 0.18215,
}


def image_tower() -> Tensors:
    """OpenCLIP's names, with the text tower's that lie beside them."""
    sizes = shapes(80, LAYERS, PATCH, 5, PUBLISHED_UNET.image_embedding_dim)
    state = {
        f"visual.{name}": drawn(name, shape) + ("ln_" in name and "weight" in name)
        for name, shape in sizes.items()
    }
    return state | {"logit_scale": torch.ones(()), "ln_final.weight": torch.ones(8)}


def lightning() -> Tensors:
    """The names of `streaming_t2v.ckpt`."""
    unet = tiny_unet(PUBLISHED_UNET)
    state = {name: t for name, t in unet.state_dict().items() if not name.startswith("image_encoder.")}
    state |= {f"image_encoder.model.{name}": tensor for name, tensor in image_tower().items()}
    text = tiny_clip_text(PUBLISHED_UNET).encoder.state_dict()
    state |= {f"text_encoder.text_model.{name}": tensor for name, tensor in text.items()}
    state["text_encoder.text_model.embeddings.position_ids"] = torch.arange(7)[None]
    vae = tiny_kl_codec(PUBLISHED_VAE).vae.state_dict()
    return state | {f"vae.{_old(name)}": tensor for name, tensor in vae.items()}


def vidxtend() -> Tensors:
    """The names of the repackaged file, which has no image encoder."""
    heads = {"base_model": "unet", "unet": "controlnet"}
    kept = {name: t for name, t in lightning().items() if not name.startswith("image_encoder.")}
    split = ((name.partition("."), tensor) for name, tensor in kept.items())
    return {f"{heads.get(head, head)}.{rest}": tensor for (head, _, rest), tensor in split}


def _old(name: str) -> str:
    """The names that attention had in a VAE of 2023."""
    for new, old in {
        ".to_q.": ".query.",
        ".to_k.": ".key.",
        ".to_v.": ".value.",
        ".to_out.0.": ".proj_attn.",
    }.items():
        name = name.replace(new, old)
    return name


@contextmanager
def foreign_class() -> Iterator[type]:
    """A class of a library that is not installed where the file is read."""
    module = types.ModuleType("foreign_trainer")

    class Recorder(dict[str, Any]):
        pass

    Recorder.__module__, Recorder.__qualname__ = "foreign_trainer", "Recorder"
    module.Recorder = Recorder  # type: ignore[attr-defined]
    sys.modules["foreign_trainer"] = module
    try:
        yield Recorder
    finally:
        del sys.modules["foreign_trainer"]


def save_lightning(path: Path) -> Path:
    """With what a training run leaves beside the weights."""
    with foreign_class() as recorder:
        held = recorder(best=0.3)
        held.note = Path("logs")
        torch.save(
            {
                "state_dict": lightning(),
                "epoch": 3,
                "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
                "hyper_parameters": argparse.Namespace(lr=5e-5),
                "callbacks": held,
            },
            path,
        )
    return path


def save_vidxtend(path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in vidxtend().items()}, path)
    return path


def folder_with(folder: Path, archive: Path) -> Path:
    """A model's folder of the user's own, in which every part is the archive."""
    folder.mkdir(exist_ok=True)
    preset = streaming_preset(PUBLISHED_UNET)
    (folder / "preset.yaml").write_text(yaml.safe_dump(preset.model_dump(mode="json")))
    tiny_clip_text(PUBLISHED_UNET).tokenizer.save(folder / "tokenizer")
    return folder
