"""One process owns a take. The system lets the lock go however that process ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from longtake.errors import UserError

NAME = "lock"
_TRIES, _PAUSE = 5, 0.02  # who asks for the owner holds the lock for a moment


class Ownership:
    """A take's lock, held until `close`."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError when it is held, in this process or in another one, which it names."""
        try:
            self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            raise UserError(f"take {folder.name} is gone; it was deleted") from None
        for _ in range(_TRIES):
            if _locks(self._file):
                break
            time.sleep(_PAUSE)
        else:
            owner = _read(self._file)
            self.close()
            raise UserError(
                f"take {folder.name} is being made by process {owner}; stop that one first, or branch the take"
            )
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        """Let it go; once is enough."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def owner_of(folder: Path) -> int | None:
    """The process that owns a take; None when nobody does."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(file)
    finally:
        os.close(file)
    return None


def _locks(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> int:
    digits = os.pread(file, 20, 0)
    return int(digits) if digits.isdigit() else 0
