"""Narrative adherence: of a storyboard's beats, how many are seen, on time, in order, with identity kept.

A beat is a cue of the storyboard. A clip is looked at in short windows; of each window it is known which beats it shows
(`Look`): by the toybox reader for mini (`story.py`), by CLIP for other video (`video/beats.py`). Then, of k beats:

- seen: the beat is shown by a window that lies within its own time;
- on time: the first such window ends within `patience` seconds of the beat's beginning;
- in order: the longest run of beats whose first showings rise in time, over k;
- kept: of the beats after the first that are seen, what the beat does not change is as it was in the beat before it;
- adherence: seen, on time and kept (the first beat has nothing to keep).

All are shares of the k beats (kept: of those it can be asked of); higher is better. Limits: a beat that is shown before
its time is not counted against the video unless it breaks the order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PATIENCE", "Look", "Told", "tell"]

PATIENCE = 4.0
"""Seconds within which a new beat is expected to be seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What one window shows."""

    start: float
    """Media seconds of its first frame."""
    end: float
    """Media seconds after its last frame."""
    beats: tuple[bool, ...]
    """Of each beat, whether it is shown."""
    kept: bool | None = None
    """Whether what the beat in force leaves alone is as before it; None when that cannot be said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """How well the story was told; shares of its beats."""

    beats: int
    """How many."""
    seen: float
    on_time: float
    in_order: float
    kept: float | None
    """None with a single beat, or when no window could say."""
    adherence: float


def tell(begins: Sequence[float], end: float, looks: Sequence[Look], patience: float = PATIENCE) -> Told:
    """Judge a clip of `end` seconds whose beats begin at `begins` (rising, the first at 0)."""
    assert begins[0] == 0, "the first beat is at the start"
    stops = [*begins[1:], end]
    first = [
        _first_within(looks, beat, begin, stop)
        for beat, (begin, stop) in enumerate(zip(begins, stops, strict=True))
    ]
    count = len(begins)
    on_time = [
        look is not None and look.end <= begin + patience + 1e-9
        for look, begin in zip(first, begins, strict=True)
    ]
    kept = [None if look is None else look.kept for look in first[1:]]
    known = [each for each in kept if each is not None]
    held = [True, *(each is not False for each in kept)]
    return Told(
        beats=count,
        seen=sum(look is not None for look in first) / count,
        on_time=sum(on_time) / count,
        in_order=_longest_rise([_first_shown(looks, beat) for beat in range(count)]) / count,
        kept=sum(known) / len(known) if known else None,
        adherence=sum(punctual and same for punctual, same in zip(on_time, held, strict=True)) / count,
    )


def _first_within(looks: Sequence[Look], beat: int, begin: float, stop: float) -> Look | None:
    inside = (look for look in looks if look.start >= begin - 1e-9 and look.end <= stop + 1e-9)
    return next((look for look in inside if look.beats[beat]), None)


def _first_shown(looks: Sequence[Look], beat: int) -> float | None:
    return next((look.start for look in looks if look.beats[beat]), None)


def _longest_rise(times: Sequence[float | None]) -> int:
    """Length of the longest strictly rising subsequence of the times that are known."""
    tails: list[float] = []
    for time in times:
        if time is not None:
            place = bisect_left(tails, time)
            tails[place : place + 1] = [time]
    return len(tails)
