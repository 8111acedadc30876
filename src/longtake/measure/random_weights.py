"""Networks of any size with random weights, for figures that do not depend on what a network has learned."""

from __future__ import annotations

import torch
from torch import nn

from longtake.models.wan import WanConfig, WanTransformer

__all__ = ["random_transformer", "redraw"]


@torch.no_grad()
def redraw(module: nn.Module, seed: int = 0) -> None:
    """Draw every parameter anew: matrices scaled by fan-in, norm weights near one, the rest small; none zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2 and "table" not in name and "gamma" not in name:
            parameter.normal_(generator=generator).div_(parameter[0].numel() ** 0.5)
        else:
            base = 1.0 if name.endswith("gamma") or ("norm" in name and name.endswith("weight")) else 0.0
            parameter.normal_(generator=generator).mul_(0.2).add_(base)


def random_transformer(
    config: WanConfig, dtype: torch.dtype = torch.float32, seed: int = 0
) -> WanTransformer:
    """A transformer that was never trained; its memory is allocated once, in `dtype`."""
    with torch.device("meta"):
        model = WanTransformer(config)
    model = model.to(dtype).to_empty(device="cpu")
    redraw(model, seed)
    return model.eval().requires_grad_(False)
