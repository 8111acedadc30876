"""Several prompts as one: a weighted mean of their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longtake.errors import UserError

__all__ = ["Mixed", "mixed", "shares_of"]

Mixed = Sequence[tuple[str, float]]
"""Prompts, each with its share."""


def shares_of(mix: Mixed, device: torch.device) -> Tensor:
    """`[B, 1, 1]` float32, brought to a sum of 1. UserError for no prompts, negative shares, or none above 0."""
    shares = torch.tensor([share for _, share in mix], dtype=torch.float32)
    if (
        not mix
        or not bool(torch.isfinite(shares).all())
        or bool((shares < 0).any())
        or not bool(shares.any())
    ):
        raise UserError(
            f"prompts with shares {[s for _, s in mix]} given; use shares of at least 0, one above 0"
        )
    return (shares / shares.sum())[:, None, None].to(device)


def mixed(each: Tensor, shares: Tensor, *, keep_norm: bool = False) -> Tensor:
    """The mean `[1, L, D]` of embeddings `[B, L, D]` by shares `[B, 1, 1]`.

    keep_norm: give every row the mean length of the rows it came from, which blending shortens.
    """
    blended = (shares * each).sum(0, keepdim=True)
    if keep_norm:
        wanted = (shares * each.norm(dim=-1, keepdim=True)).sum(0, keepdim=True)
        length = blended.norm(dim=-1, keepdim=True)
        blended = torch.where(length > 0, blended * wanted / length, blended)
    return blended.to(each.dtype)
