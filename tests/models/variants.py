"""One tiny Wan transformer in every container and layout that such models are published in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from longtake.models.folder import save_folder
from longtake.models.keymap import Layout, rename
from longtake.models.wan import WanConfig, WanTransformer
from tests.tiny import tiny_transformer

State = dict[str, Tensor]
PUBLISHED_HEAD = WanConfig(
    num_attention_heads=1, attention_head_dim=128, ffn_dim=160, num_layers=2, freq_dim=32, text_dim=24
)
"""One head of the published width, which no file states."""


def model() -> WanTransformer:
    return tiny_transformer(PUBLISHED_HEAD, seed=11)


def named(layout: Layout, prefix: str = "") -> State:
    """The model's tensors in another layout."""
    found: Iterator[tuple[str | None, Tensor]] = (
        (rename(name, Layout.DIFFUSERS, layout), tensor) for name, tensor in model().state_dict().items()
    )
    return {f"{prefix}{name}": tensor for name, tensor in found if name is not None}


def original(prefix: str = "") -> State:
    return named(Layout.ORIGINAL, prefix)


def noise() -> State:
    """Another model of the same names, which must not be the one that is loaded."""
    return {name: torch.full_like(tensor, 7.0) for name, tensor in original("model.").items()}


def fragments(state: State, outer: str, inner: str) -> State:
    """Names as wrappers of training leave them: `outer` around the model, `inner` around each block."""
    return {
        outer + ".".join([*name.split(".")[:2], inner.rstrip("."), *name.split(".")[2:]])
        if name.startswith("blocks.")
        else outer + name: tensor
        for name, tensor in state.items()
    }


def linear_patch() -> State:
    state = original()
    return state | {"patch_embedding.weight": state["patch_embedding.weight"].flatten(1)}


def training_parts() -> State:
    extra = (
        "freqs",
        "critic.head.weight",
        "_cls_pred_branch.0.weight",
        "_register_tokens",
        "_gan_ca_blocks.0.q.weight",
    )
    return {f"model.{name}" if name != "freqs" else name: torch.ones(3) for name in extra}


def save_pt(name: str, content: Callable[[], object]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(content(), folder / name)
        return folder / name

    return write


def save_safetensors(state: Callable[[], State]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        save_file({name: tensor.contiguous() for name, tensor in state().items()}, folder / "any.safetensors")
        return folder / "any.safetensors"

    return write


def diffusers_folder(folder: Path) -> Path:
    model().save_pretrained(folder)
    return folder


def diffusers_shards(folder: Path) -> Path:
    save_folder(folder, PUBLISHED_HEAD.to_dict(), model().state_dict(), shard_bytes=400_000)
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


def diffusers_pipeline(folder: Path) -> Path:
    model().save_pretrained(folder / "transformer")
    return folder


def original_folder(folder: Path) -> Path:
    """As Wan-AI publishes: original names, a config of its own words, other parts beside it."""
    save_file(original(), folder / "diffusion_pytorch_model.safetensors")
    (folder / "Wan2.1_VAE.pth").write_bytes(b"not read")
    sizes = {
        "dim": 128,
        "ffn_dim": 160,
        "freq_dim": 32,
        "in_dim": 16,
        "num_heads": 1,
        "num_layers": 2,
        "out_dim": 16,
    }
    about = {"_class_name": "WanModel", "model_type": "t2v", "text_len": 512, "eps": 1e-6}
    (folder / "config.json").write_text(json.dumps(about | sizes))
    return folder


def original_shards(folder: Path) -> Path:
    state = original()
    names = sorted(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for name, keys in parts.items():
        save_file({key: state[key] for key in keys}, folder / name)
    where = {key: name for name, keys in parts.items() for key in keys}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder / "model.safetensors.index.json"


VARIANTS: dict[str, Callable[[Path], Path]] = {
    "diffusers folder": diffusers_folder,
    "diffusers folder in shards": diffusers_shards,
    "diffusers pipeline": diffusers_pipeline,
    "diffusers file": save_safetensors(lambda: named(Layout.DIFFUSERS)),
    "original folder": original_folder,
    "original shards": original_shards,
    "original file, raw": save_safetensors(original),
    "original file, model prefix": save_safetensors(lambda: original("model.")),
    "original file, two prefixes": save_safetensors(lambda: original("model.diffusion_model.")),
    "original file, linear patches": save_safetensors(linear_patch),
    "original file, parts of training": save_safetensors(lambda: original("model.") | training_parts()),
    "fastvideo file": save_safetensors(lambda: named(Layout.FASTVIDEO)),
    "pt, generator and critic": save_pt(
        "model.pt", lambda: {"generator": original("model."), "critic": noise(), "step": 3000}
    ),
    "pt, generator alone": save_pt("ode_init.pt", lambda: {"generator": original("model.")}),
    "pt, averaged and not": save_pt(
        "dmd.pt", lambda: {"generator": noise(), "generator_ema": original("model."), "critic": noise()}
    ),
    "pt, fsdp fragments": save_pt(
        "ema.pt",
        lambda: {
            "generator_ema": fragments(original(), "model._fsdp_wrapped_module.", "_fsdp_wrapped_module.")
        },
    ),
    "pt, compile and checkpoint fragments": save_pt(
        "compiled.pt",
        lambda: {"generator": fragments(original(), "_orig_mod.model.", "_checkpoint_wrapped_module.")},
    ),
    "ckpt, state_dict": save_pt("last.ckpt", lambda: {"state_dict": original("module."), "epoch": 4}),
    "pth, model": save_pt("best.pth", lambda: {"model": original()}),
    "pt, generator with a state_dict": save_pt(
        "deep.pt", lambda: {"generator": {"state_dict": original("model.")}}
    ),
    "pt, raw": save_pt("raw.pt", original),
    "pt, raw with linear patches": save_pt("rcm.pt", linear_patch),
    "pt, diffusers names": save_pt("ours.pt", lambda: named(Layout.DIFFUSERS)),
}
"""Name of a variant → writes it into a folder and returns the path that a user would name."""
