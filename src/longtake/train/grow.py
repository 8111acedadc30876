"""Weights of a transformer with narrower feed-forward layers, grown so that it computes what it did.

Capacity added between two legs of training, without beginning anew. New units read as drawn and write nothing yet
(Net2Net, arXiv 1511.05641, widens with the same aim by copying units).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["grown"]

INTO = (".ffn.net.0.proj.weight", ".ffn.net.0.proj.bias")
OUT_OF = ".ffn.net.2.weight"


def grown(stored: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`stored` with the feed-forward widths of `fresh`, where those are larger; everything else as it is.

    fresh: the same parameters as drawn for the wider network; its first units are replaced by the stored ones.
    """
    return {
        name: _grow(name, value, fresh[name]) if name in fresh else value for name, value in stored.items()
    }


def _grow(name: str, stored: Tensor, fresh: Tensor) -> Tensor:
    if name.endswith(INTO) and len(fresh) > len(stored) and fresh.shape[1:] == stored.shape[1:]:
        return torch.cat([stored, fresh.detach()[len(stored) :].to(stored)])
    if name.endswith(OUT_OF) and len(fresh) == len(stored) and fresh.shape[1] > stored.shape[1]:
        silent = stored.new_zeros(len(stored), fresh.shape[1] - stored.shape[1])
        return torch.cat([stored, silent], dim=1)
    return stored
