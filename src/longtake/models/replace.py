"""Writing a folder so that it appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from longtake.errors import UserError


def check_target(folder: Path, source: Path, *, force: bool, ours: Callable[[str], bool]) -> None:
    """Refuse a folder that cannot be written, or whose content may not be replaced; changes nothing.

    source: what is read, which must not be inside. ours: whether an entry of this name is of the kind that is written,
    since nothing else is ever deleted.
    """
    if not folder.parent.is_dir():
        raise UserError(f"--to {folder}: {folder.parent} is no folder; give one that is there")
    if not os.access(folder.parent, os.W_OK):
        raise UserError(f"--to {folder} cannot be written; give a folder that you may write to")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--to {folder} is a file; give the name of a folder")
    held = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if not held:
        return
    if source.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"--to {folder} is where {source} is read from; give another folder")
    if not force:
        raise UserError(f"--to {folder} exists; give another folder, or --force to replace it")
    if others := [name for name in held if not ours(name)]:
        raise UserError(
            f"--to {folder} also holds {', '.join(others[:3])}; give another folder, or move them"
        )


def check_room(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk has no room for."""
    if (free := shutil.disk_usage(folder.parent).free) < needed:
        raise UserError(
            f"--to {folder} needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; make room"
        )


@contextmanager
def whole_or_nothing(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` to write to; it takes the place of `folder` when all went well."""
    partial, old = (folder.parent / f".{folder.name}.{os.getpid()}.{end}" for end in ("partial", "old"))
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)
