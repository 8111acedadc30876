"""Files that survive a crash: what is written is on the disk when the call returns."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write a file and sync it. It is there for good once its folder is synced too."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def sync(path: Path) -> None:
    """Sync a file that is written, or the names in a folder."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def share(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system knows no links."""
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        shutil.copyfile(source, target)
        sync(target)


def size(path: Path) -> int | None:
    """Bytes of a file; None when it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def tree_size(folder: Path) -> int:
    """Bytes of all files in a folder and those below it."""
    total = 0
    for parent, _, names in os.walk(folder):
        total += sum(size(Path(parent, name)) or 0 for name in names)
    return total
