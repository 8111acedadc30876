"""Weights that are the same everywhere and for ever: hashed from a tensor's name, drawn by no generator.

The numbers in `tests/golden/*.safetensors` were computed once with the published implementations on these weights.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

GAINS = ("gamma", "norm1.weight", "norm2.weight", "norm.weight")


def drawn(name: str, shape: Sequence[int]) -> Tensor:
    """A tensor for `name`: matrices scaled by fan-in, gains near one, the rest small; nothing is zero."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state += np.uint64(zlib.crc32(name.encode())) << np.uint64(32)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    uniform = (state >> np.uint64(40)).astype(np.float64) / 2**24
    noise = torch.from_numpy((uniform - 0.5) * 12**0.5).reshape(*shape)
    if name.endswith(GAINS):
        return (1 + 0.1 * noise).float()
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
    return (noise / fan_in**0.5).float()


def drawn_state(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A whole state dictionary."""
    return {name: drawn(name, shape) for name, shape in shapes.items()}
