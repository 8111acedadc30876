"""Names of a CLIP image encoder's tensors: those of Wan's own file, and transformers' `CLIPVisionModel`.

Wan publishes the whole of OpenCLIP's ViT-H with its text half (`visual.…`, `textual.…`), queries, keys and values of a
layer in one matrix. Only the visual half is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["is_original", "to_transformers"]

VISUAL = "visual."
PREFIX = "vision_model."
"""What transformers puts in front of every name in its files."""

OUTSIDE = {
    "patch_embedding.weight": "embeddings.patch_embedding.weight",
    "pre_norm.weight": "pre_layrnorm.weight",
    "pre_norm.bias": "pre_layrnorm.bias",
    "post_norm.weight": "post_layernorm.weight",
    "post_norm.bias": "post_layernorm.bias",
}
FLATTENED = {
    "cls_embedding": ("embeddings.class_embedding", 2),
    "pos_embedding": ("embeddings.position_embedding.weight", 1),
}
"""Tensors with axes of size one in front: the name, and how many of them."""
LAYER = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.proj": "self_attn.out_proj",
    "mlp.0": "mlp.fc1",
    "mlp.2": "mlp.fc2",
}
_LAYER = re.compile(r"transformer\.(\d+)\.(.+)\.(weight|bias)")


def is_original(names: Mapping[str, Tensor]) -> bool:
    """Whether the tensors carry the names of Wan's own file."""
    return any(name.startswith(VISUAL) for name in names)


def to_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The visual half under transformers' names; a name that is not known keeps its own, for a strict load to refuse.

    The projection into the space that pictures and texts share (`visual.head`) has no part in what Wan reads.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith(VISUAL) and name != f"{VISUAL}head":
            found |= _renamed(name.removeprefix(VISUAL), tensor)
    return found


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    if name in FLATTENED:
        new, axes = FLATTENED[name]
        return {new: tensor.flatten(0, axes)}
    layer = _LAYER.fullmatch(name)
    if layer is None:
        return {OUTSIDE.get(name, name): tensor}
    start, part, kind = f"encoder.layers.{layer[1]}", layer[2], layer[3]
    if part == "attn.to_qkv":
        thirds = torch.chunk(tensor, 3)
        return {f"{start}.self_attn.{n}_proj.{kind}": third for n, third in zip("qkv", thirds, strict=True)}
    return {f"{start}.{LAYER.get(part, part)}.{kind}": tensor}
