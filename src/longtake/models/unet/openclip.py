"""OpenCLIP's names of a vision transformer, in transformers' words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_OUTSIDE = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
_INSIDE = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
_PACKED = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")


def to_transformers(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The picture tower below `model.visual.`, and the names of all that is not part of it (the text tower's)."""
    named: dict[str, Tensor] = {}
    unused: list[str] = []
    for name, tensor in state.items():
        inside = name.removeprefix("model.").removeprefix("visual.")
        if "visual." not in name:
            unused.append(name)
        elif inside == "proj":
            named["visual_projection.weight"] = tensor.T
        elif packed := _PACKED.fullmatch(inside):
            layer = f"vision_model.encoder.layers.{packed[1]}.self_attn"
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                named[f"{layer}.{letter}_proj.{packed[2]}"] = part
        else:
            named[f"vision_model.{_renamed(inside)}"] = tensor
    return named, tuple(unused)


def _renamed(name: str) -> str:
    """One name; an unknown one stays, and is refused where the weights are taken in."""
    block = _BLOCK.fullmatch(name)
    if block is not None:
        return f"encoder.layers.{block[1]}.{_INSIDE.get(block[2], block[2])}.{block[3]}"
    return _OUTSIDE.get(name, name)
