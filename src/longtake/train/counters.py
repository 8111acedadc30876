"""Randomness without state: every draw in training is named by (seed, purpose, step, …).

A resumed run needs no generator state, only its step. The generator is numpy's Philox, keyed through `SeedSequence`;
tensors are drawn by a torch generator seeded from it, on the device where they are used.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch
from torch import Tensor

__all__ = ["normal", "numbers"]


def numbers(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """A fresh numpy generator for one purpose at one place."""
    key = np.random.SeedSequence([seed, crc32(purpose.encode()), *index])
    return np.random.Generator(np.random.Philox(key))


def normal(shape: tuple[int, ...], seed: int, purpose: str, *index: int, device: torch.device) -> Tensor:
    """Standard normal float32 numbers; the same for equal arguments on one kind of device."""
    generator = torch.Generator(device)
    generator.manual_seed(int(numbers(seed, purpose, *index).integers(2**63)))
    return torch.randn(shape, generator=generator, device=device)
