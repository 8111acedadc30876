"""Ctrl-C and SIGTERM as an exception, so that files are closed on the way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_told: list[int] = []


class Stopped(BaseException):
    """The process was told to stop. Not an `Exception`: nothing but a clean way out may catch it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """What a shell expects: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise `Stopped` in the main thread at the first signal; others are ignored while files close."""
    _told.clear()
    before = {signum: signal.signal(signum, _stop) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def heed() -> None:
    """Raise `Stopped` when it was told and got lost: what it interrupts, such as an import, may swallow it."""
    if _told:
        raise Stopped(_told[0])


def _stop(signum: int, _frame: FrameType | None) -> None:
    _told.append(signum)
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(signum)
