"""Which device and number format the networks compute in here, and why; and how much memory is free there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import torch

from longtake.errors import UserError

VARIABLE = "LONGTAKE_DTYPE"
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class ComputeDtype(NamedTuple):
    """A choice and its reason, for `doctor` and the summary."""

    dtype: torch.dtype
    reason: str


def compute_dtype() -> ComputeDtype:
    """What `LONGTAKE_DTYPE` says; else bfloat16 where the hardware multiplies it fast, float32 elsewhere.

    Raises UserError for a format that is not one of `FORMATS`.
    """
    asked = os.environ.get(VARIABLE)
    if asked:
        if asked not in FORMATS:
            raise UserError(f"{VARIABLE}={asked} is not a number format; use {' or '.join(FORMATS)}")
        return ComputeDtype(FORMATS[asked], VARIABLE)
    if torch.cuda.is_available():
        return ComputeDtype(torch.bfloat16, "CUDA GPU")
    if torch.cpu._is_amx_tile_supported():
        return ComputeDtype(torch.bfloat16, "CPU with AMX")
    return ComputeDtype(torch.float32, "CPU without AMX")


def halves_on_cpu() -> bool:
    """Whether this CPU multiplies bfloat16 itself; one that does not is helped by `wide_products.widen`."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def compute_device() -> torch.device:
    """The first CUDA GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had on the device; on a CPU within what the container is allowed, where it is told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    known = (_available(), _left_in_container())
    return min(value for value in known if value is not None)


def _available() -> int:
    path = Path("/proc/meminfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_container(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a memory limit (cgroup 2) leaves; None without one. Pages that only cache files count as free."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    return None if limit == "max" else int(limit) - used + int(stat.get("inactive_file", 0))
