"""Attention bias: less weight for the past while denoising, so that its errors are copied less (Krea Realtime)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longtake.models.attention import Grid
from longtake.models.wan import WanTransformer


def past_logits(
    bias: float, past: int, first: int, new: int, grid: Grid, backbone: WanTransformer
) -> Tensor | None:
    """`[1, (past + new)·N]` to add to the logits of the keys of `past` frames and of `new` ones behind them.

    It is `log(bias)` for the past but for its earliest frame, the one in place `first`; None when there is nothing to
    add.
    """
    if bias == 1.0 or past < 2:
        return None
    added = torch.zeros(past + new, dtype=backbone.dtype, device=backbone.device)
    added[:past] = math.log(bias)
    added[first] = 0.0
    return added.repeat_interleave(grid.tokens)[None]
