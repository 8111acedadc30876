"""Published weights of a Wan transformer in one form: diffusers' names, shapes that fit, sizes read off the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.containers import NETWORK, Container, open_container
from longtake.models.files import read_json
from longtake.models.folder import CONFIG_FILE
from longtake.models.keymap import Layout, detect_layout, rename
from longtake.models.wan_config import WanConfig, declared

EMA = "generator_ema"
"""The dictionary of weights averaged over training."""
NOT_THE_NETWORK = ("_cls_pred_branch", "_register_tokens", "_gan_ca_blocks", "norm_added_q")
"""Parts of training (a discriminator's branch) or of no effect, skipped wherever they appear in a name."""
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
PATCH = "patch_embedding.weight"
IMAGE_SIZES = {
    "image_dim": ("condition_embedder.image_embedder.norm1.weight", 0),
    "added_kv_proj_dim": ("blocks.0.attn2.add_k_proj.weight", 1),
    "pos_embed_seq_len": ("condition_embedder.image_embedder.pos_embed", 1),
}
"""Sizes that only image-to-video models have, with the tensor and axis that tell them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WanWeights:
    """The tensors of a Wan transformer under diffusers' names, still on disk, and what was found on the way."""

    source: Path
    """The file or folder that was named."""
    files: tuple[Path, ...]
    """Where the tensors are."""
    container: str
    """The dictionary they were in, such as `generator_ema`; `raw` when in none."""
    layout: Layout
    """Whose names they carried."""
    config: WanConfig
    """Sizes read off the shapes; the head width, which shapes do not tell, from the config beside or the caller."""
    state: Mapping[str, Tensor]
    """The tensors, mapped; do not change them."""
    reshaped: tuple[str, ...]
    """Tensors that were brought into another shape."""
    unexpected: tuple[str, ...]
    """Names that the layout does not have; a strict load refuses them."""
    ignored: tuple[str, ...]
    """What was left out on purpose."""

    @property
    def parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.state.values())

    @property
    def stored_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.state.values())

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The number formats on disk."""
        return tuple(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in self.state.values()}))


def read_weights(
    path: Path, *, ema: bool = True, allow_pt: bool = False, head_dim: int | None = None
) -> WanWeights:
    """Bring any published file or folder of a Wan transformer into our form.

    ema: take the averaged weights where there are some. allow_pt: as `open_container`. head_dim: channels of an
    attention head, where no `config.json` says it and it is not 128. Raises UserError for what is no Wan transformer,
    or contradicts the config beside it.
    """
    container = open_container(path, wanted=wanted(ema), allow_pt=allow_pt)
    keys = [key for key in container.tensors if not _skipped(key)]
    layout = detect_layout(keys)
    if layout is None:
        raise UserError(_not_a_transformer(container))
    names = {key: rename(key, layout, Layout.DIFFUSERS) for key in keys}
    state = {name: container.tensors[key] for key, name in names.items() if name is not None}
    _check_formats(state, path)
    hints = _hints(container, head_dim)
    reshaped = _unflatten_patch(state, hints.get("patch_size", WanConfig().patch_size), path)
    return WanWeights(
        source=path,
        files=container.files,
        container=container.name,
        layout=layout,
        config=_config(state, hints, path),
        state=state,
        reshaped=reshaped,
        unexpected=tuple(sorted(key for key, name in names.items() if name is None)),
        ignored=tuple(sorted({*container.ignored, *(container.tensors.keys() - keys)})),
    )


def wanted(ema: bool) -> tuple[str, ...]:
    """The dictionaries that may hold the network, by preference."""
    return (EMA, *NETWORK) if ema else NETWORK


def _skipped(key: str) -> bool:
    return key == "freqs" or key.startswith("critic.") or any(part in key for part in NOT_THE_NETWORK)


def _not_a_transformer(container: Container) -> str:
    keys = sorted({*container.tensors, *container.ignored})
    if any("lora" in key for key in keys):
        return f"{container.source} is a LoRA, which changes a model and is none; give the base model, and this beside"
    some = ", ".join(keys[:3])
    return f"{container.source} is no Wan transformer (it has {some}, …); give the file of the transformer"


def _check_formats(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if tensor.dtype not in DTYPES or tensor.layout is not torch.strided:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(
                f"{path}: {name} is stored as {kind}; float32, bfloat16 and float16 are read, so give that file"
            )
        if not 0 < tensor.nbytes <= tensor.untyped_storage().nbytes():
            raise UserError(
                f"{path}: {name} {tuple(tensor.shape)} is empty or claims more than the file holds"
            )


def _hints(container: Container, head_dim: int | None) -> dict[str, Any]:
    """Sizes that the config beside the weights and the caller state."""
    beside = container.files[0].parent / CONFIG_FILE
    hints = declared(read_json(beside)) if beside.is_file() else {}
    return hints if head_dim is None else {**hints, "attention_head_dim": head_dim}


def _unflatten_patch(state: dict[str, Tensor], patch: tuple[int, ...], path: Path) -> tuple[str, ...]:
    """Give a patch embedding that is stored as a linear layer the shape of the convolution that it is."""
    weight = state.get(PATCH)
    if weight is None or weight.ndim != 2:
        return ()
    if weight.shape[1] % prod(patch):
        raise UserError(f"{path}: {PATCH} {tuple(weight.shape)} does not divide into patches {patch}")
    state[PATCH] = weight.reshape(weight.shape[0], -1, *patch)
    return (PATCH,)


def _config(state: Mapping[str, Tensor], hints: Mapping[str, Any], path: Path) -> WanConfig:
    sizes = _sizes(state, path)
    dim = sizes.pop("dim")
    head_dim = hints.get("attention_head_dim", WanConfig().attention_head_dim)
    if not isinstance(head_dim, int) or head_dim < 1 or dim % head_dim:
        raise UserError(
            f"{path}: width {dim} is no multiple of the head width {head_dim}; put the model's config.json beside it"
        )
    sizes["num_attention_heads"] = dim // head_dim
    for name, value in sizes.items():
        if hints.get(name, value) != value:
            raise UserError(
                f"{path} does not fit its config: {name} is {hints[name]} there, {value} in the weights"
            )
    return WanConfig.from_dict({**hints, **sizes, "attention_head_dim": head_dim})


def _sizes(state: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """`dim` and fields of `WanConfig`, read off the shapes."""

    def size(name: str, axis: int) -> int:
        if name not in state:
            raise UserError(f"{path} is incomplete: {name} is missing")
        if state[name].ndim <= axis:
            raise UserError(f"{path}: {name} has the shape {tuple(state[name].shape)}, too few axes")
        return state[name].shape[axis]

    patch = tuple(size(PATCH, axis) for axis in (2, 3, 4))
    sizes: dict[str, Any] = {
        "dim": size(PATCH, 0),
        "in_channels": size(PATCH, 1),
        "patch_size": patch,
        "out_channels": size("proj_out.weight", 0) // prod(patch),
        "freq_dim": size("condition_embedder.time_embedder.linear_1.weight", 1),
        "text_dim": size("condition_embedder.text_embedder.linear_1.weight", 1),
        "ffn_dim": size("blocks.0.ffn.net.0.proj.weight", 0),
        "num_layers": _layers(state, path),
    }
    for field, (name, axis) in IMAGE_SIZES.items():
        if name in state:
            sizes[field] = size(name, axis)
    return sizes


def _layers(state: Mapping[str, Tensor], path: Path) -> int:
    blocks = {int(name.split(".")[1]) for name in state if name.startswith("blocks.")}
    if absent := sorted(set(range(len(blocks))) - blocks):
        raise UserError(f"{path} is incomplete: block {absent[0]} is missing")
    return len(blocks)
