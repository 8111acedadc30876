"""A simulated viewer: when a player that starts with some video in store would have had to wait.

The player starts once `store` media seconds have arrived (or all of the video), then shows frames at their rate. A
chunk that is not there when its first frame is due stalls the picture until it is; the player goes on at once. Nobody
watches: what is simulated from arrival times is what a real viewer of them would have seen, without the player's own
decoding time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Seen", "watch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a viewer lived through."""

    start_s: float
    """From the prompt to the first picture, the filling of the store included."""
    underruns: int
    """How often the picture stood still after that."""
    stall_s: float
    """For how long in all."""
    on_time: float
    """Deadline attainment: share of the chunks after the start that were there when due."""


def watch(arrivals: Sequence[float], lengths: Sequence[float], store: float) -> Seen:
    """Play chunks that arrive `arrivals` seconds after the prompt (rising) and last `lengths` media seconds each.

    store: media seconds that the player waits for before it starts; 0 starts with the first chunk.
    """
    begin = _start(arrivals, lengths, store)
    clock, underruns, stalled, late = begin, 0, 0.0, 0
    due = 0
    for arrival, length in zip(arrivals, lengths, strict=True):
        if arrival > begin:
            due += 1
        if arrival > clock:
            underruns, late = underruns + 1, late + 1
            stalled += arrival - clock
            clock = arrival
        clock += length
    return Seen(start_s=begin, underruns=underruns, stall_s=stalled, on_time=1 - late / due if due else 1.0)


def _start(arrivals: Sequence[float], lengths: Sequence[float], store: float) -> float:
    """When so much has arrived; the end of the video is enough."""
    stored = 0.0
    for arrival, length in zip(arrivals, lengths, strict=True):
        stored += length
        if stored >= store:
            return arrival
    return arrivals[-1]
