"""OpenCLIP's picture tower, written down from its description: what our names and packing must amount to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def shapes(width: int, layers: int, patch: int, tokens: int, out: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes below `visual.`."""
    keys: dict[str, tuple[int, ...]] = {
        "class_embedding": (width,),
        "positional_embedding": (tokens, width),
        "conv1.weight": (width, 3, patch, patch),
        "proj": (width, out),
    }
    for norm in ("ln_pre", "ln_post"):
        keys |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for layer in range(layers):
        block = f"transformer.resblocks.{layer}"
        keys |= {
            f"{block}.attn.in_proj_weight": (3 * width, width),
            f"{block}.attn.in_proj_bias": (3 * width,),
        }
        sizes = {
            "attn.out_proj": (width, width),
            "mlp.c_fc": (4 * width, width),
            "mlp.c_proj": (width, 4 * width),
        }
        for name, shape in sizes.items():
            keys |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
        for norm in ("ln_1", "ln_2"):
            keys |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
    return keys


def embed(state: Mapping[str, Tensor], pictures: Tensor, heads: int, layers: int) -> Tensor:
    """`[N, 3, H, W]`, normalised → `[N, out]`."""
    patches = F.conv2d(pictures, state["conv1.weight"], stride=state["conv1.weight"].shape[-1])
    x = patches.flatten(2).transpose(1, 2)
    first = state["class_embedding"].expand(len(x), 1, -1)
    x = _norm(state, "ln_pre", torch.cat([first, x], 1) + state["positional_embedding"])
    for layer in range(layers):
        block = f"transformer.resblocks.{layer}"
        x = x + _attention(state, f"{block}.attn", _norm(state, f"{block}.ln_1", x), heads)
        y = _linear(state, f"{block}.mlp.c_fc", _norm(state, f"{block}.ln_2", x))
        x = x + _linear(state, f"{block}.mlp.c_proj", F.gelu(y))
    return _norm(state, "ln_post", x[:, 0]) @ state["proj"]


def _norm(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def _linear(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _attention(state: Mapping[str, Tensor], name: str, x: Tensor, heads: int) -> Tensor:
    packed = F.linear(x, state[f"{name}.in_proj_weight"], state[f"{name}.in_proj_bias"])
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in packed.chunk(3, dim=-1))
    share = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return _linear(state, f"{name}.out_proj", (share @ v).transpose(1, 2).flatten(2))
