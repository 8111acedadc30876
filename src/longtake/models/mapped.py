"""Giving the pages of a mapped file back, so that what was read once does not count as memory in use."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

_MAPS = Path("/proc/self/maps")
_DONTNEED = 4  # Linux's number; pages of a file come back from the file when they are touched


class MappedPages:
    """Where files are mapped in this process; nowhere on systems that do not tell (only Linux does)."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._ranges = _ranges({str(file.resolve()) for file in files})

    def forget(self, tensor: Tensor) -> None:
        """Drop the pages of a tensor that lies in one of the files and was not changed; others are left alone."""
        begin, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        if not any(low <= begin and end <= high for low, high in self._ranges):
            return
        first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
        length = end // mmap.PAGESIZE * mmap.PAGESIZE - first
        if length > 0:
            ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _DONTNEED)


def _ranges(files: set[str]) -> list[tuple[int, int]]:
    """Addresses from and to which one of `files` is mapped, read-only or private."""
    if not _MAPS.exists():
        return []
    found = []
    for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] in files:
            low, high = fields[0].split("-")
            found.append((int(low, 16), int(high, 16)))
    return found
