"""What a figure was measured on and with: no figure is printed without it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longtake import __version__

__all__ = ["Provenance", "provenance"]

_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Hardware, software and command of a measurement."""

    cpu: str
    """Model name of the processor."""
    cores: int
    """Cores that this process may use."""
    features: tuple[str, ...]
    """Instruction sets that matter for speed."""
    accelerator: str | None
    """The GPU in use, if any."""
    torch: str
    """Version of torch."""
    threads: int
    """Threads that torch uses."""
    dtype: str
    """Number format of the generator; of the reader when there is no generator."""
    command: str
    """What was typed."""
    commit: str
    """Commit of the sources, with `+` when they were changed since; the version outside a checkout."""

    @property
    def hardware(self) -> str:
        """One line about the machine."""
        place = self.accelerator or f"{self.cpu}, {self.cores} cores ({' '.join(self.features)})"
        return f"{place}; torch {self.torch}, {self.threads} threads, {self.dtype}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def provenance(dtype: str) -> Provenance:
    """Of this process."""
    import torch

    info = _read("/proc/cpuinfo")
    lines = dict(_split(line) for line in info.splitlines() if ":" in line)
    flags = set((lines.get("flags") or lines.get("Features") or "").split())
    return Provenance(
        cpu=lines.get("model name") or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        features=tuple(name for name in _FEATURES if name in flags),
        accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        torch=str(torch.__version__),
        threads=torch.get_num_threads(),
        dtype=dtype,
        command=" ".join([_program(), *sys.argv[1:]]),
        commit=_commit(),
    )


def _program() -> str:
    """What a user types; `python -m longtake` too is `longtake`."""
    name = Path(sys.argv[0]).name
    return "longtake" if name == "__main__.py" else name


def _commit() -> str:
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", str(here.parent))
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"
    return commit + ("+" if changed else "")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
