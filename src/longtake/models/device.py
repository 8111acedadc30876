"""Which number format the networks compute in here, and why."""

from __future__ import annotations

from typing import NamedTuple

import torch


class ComputeDtype(NamedTuple):
    """A choice and its reason, for `doctor` and the summary."""

    dtype: torch.dtype
    reason: str


def compute_dtype() -> ComputeDtype:
    """bfloat16 where the hardware multiplies it fast, float32 elsewhere."""
    if torch.cuda.is_available():
        return ComputeDtype(torch.bfloat16, "CUDA GPU")
    if torch.cpu._is_amx_tile_supported():
        return ComputeDtype(torch.bfloat16, "CPU with AMX")
    return ComputeDtype(torch.float32, "CPU without AMX")


def compute_device() -> torch.device:
    """The first CUDA GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
