"""Tiny random models of the real classes. Weights are drawn so that every path matters: fan-in scaled, none zero."""

from __future__ import annotations

import torch
from torch import nn

from longtake.models.wan import WanConfig, WanTransformer

TINY_WAN = WanConfig(
    num_attention_heads=4,
    attention_head_dim=24,
    ffn_dim=160,
    num_layers=2,
    freq_dim=32,
    text_dim=24,
)


def redraw(module: nn.Module, seed: int = 0) -> None:
    """Draw every parameter anew: matrices scaled by fan-in, norm weights near one, the rest small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2 and "table" not in name:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(base + 0.2 * noise)


def tiny_transformer(config: WanConfig = TINY_WAN, seed: int = 0) -> WanTransformer:
    model = WanTransformer(config)
    redraw(model, seed)
    return model.eval().requires_grad_(False)
