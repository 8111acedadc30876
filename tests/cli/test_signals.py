"""A signal that something swallows is heeded all the same."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from longtake.cli.signals import Stopped, heed, stop_on_signals


def test_a_signal_that_was_swallowed_is_raised_again() -> None:
    with stop_on_signals():
        heed()
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped) as told:
            heed()
    assert told.value.exit_code == 143
    with stop_on_signals():
        heed()
