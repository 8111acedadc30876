"""Bytes that PyTorch's CPU allocator hands out, read from its own log of every allocation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["peak_bytes"]


def peak_bytes(action: Callable[[], object]) -> int:
    """Most bytes held at once while `action` runs, beside what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as log, torch.no_grad():
        action()
    events = [event for event in log.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
