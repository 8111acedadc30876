"""Ctrl-C and SIGTERM during training: the step ends, a checkpoint is written, then the signal takes effect."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["hold_signals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def hold_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether a signal has come; on the way out the signal is sent again."""
    held: list[int] = []

    def hold(signum: int, _frame: FrameType | None) -> None:
        held.append(signum)

    before = {signum: signal.signal(signum, hold) for signum in SIGNALS}
    try:
        yield lambda: bool(held)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if held:
        os.kill(os.getpid(), held[0])
