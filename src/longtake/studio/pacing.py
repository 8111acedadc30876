"""Media-time pacing: generation runs at most a bounded lead ahead of what is on screen.

Without it a fast machine makes minutes ahead, and a direction meant for the picture now seen lands minutes later. Pure
logic with a clock that is passed in; it does no waiting of its own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MARGIN = 1.25
"""A chunk may take so many times as long as the slowest of the last ones before playback has to wait."""
SETTLE = 0.1
"""Seconds on top, for encoding and transport."""
REMEMBERED = 8
"""Chunks whose making decides the lead."""

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How generation and playback stand."""

    made: float
    """Media seconds that are made."""
    playing: float
    """Media second on screen."""
    allowed_lead: float
    """Media seconds that generation may be ahead."""
    deadlines_missed: int
    """Chunks that came after playback needed them."""
    stall_seconds: float
    """Seconds that playback stood still for want of them."""

    @property
    def lead(self) -> float:
        """Media seconds that generation is ahead."""
        return self.made - self.playing


class MediaTimePacer:
    """Says when the next chunk of one take may be made.

    clock: seconds, rising. least, most: bounds of the lead in media seconds; between them it follows how long
    chunks take to make, so that directions land as soon as the machine allows without playback running dry.
    """

    def __init__(self, clock: Clock, *, least: float, most: float, start: float = 0.0) -> None:
        if not 0 < least <= most:
            raise ValueError(f"lead from {least} to {most}: the least is above 0 and not above the most")
        self._clock, self._least, self._most = clock, least, most
        self._made = self._shown = start
        self._since = clock()  # when `_shown` was on screen
        self._is_playing = self._is_paused = False
        self._has_begun = False
        self._took: deque[float] = deque(maxlen=REMEMBERED)
        self._missed, self._stalled, self._late = 0, 0.0, 0.0

    @property
    def allowed_lead(self) -> float:
        """Media seconds that generation may be ahead."""
        needed = MARGIN * max(self._took, default=0.0) + SETTLE
        return min(self._most, max(self._least, needed))

    @property
    def playing(self) -> float:
        """Media second on screen; it never passes what is made."""
        return min(self._made, self._would_play())

    def wait(self) -> float:
        """Seconds until the next chunk may be made: 0 now, infinite while paused or while playback stands."""
        if self._is_paused:
            return math.inf
        ahead = self._made - self.playing - self.allowed_lead
        if ahead <= 1e-9 or not self._has_begun:
            return 0.0
        return ahead if self._is_playing else math.inf

    def add(self, end: float, took: float) -> float:
        """A chunk that ends at the media second `end` was made in `took` seconds; returns how late it is."""
        self._settle()
        late, self._late = self._late, 0.0
        self._missed += late > 0
        if not self._has_begun:
            self._has_begun = self._is_playing = True
        self._made = end
        self._took.append(took)
        return late

    def report(self, media_time: float, *, is_playing: bool) -> None:
        """A viewer says what is on its screen."""
        self._settle()
        self._shown = min(media_time, self._made)
        self._is_playing = is_playing and self._has_begun

    def pause(self) -> None:
        """Hold generation and the screen."""
        self._settle()
        self._is_paused = True

    def resume(self) -> None:
        """Go on after `pause`."""
        self._settle()
        self._is_paused = False

    def reset(self, at: float) -> None:
        """Go on from the media second `at`; playback begins there with the next chunk."""
        self._settle()
        self._made = self._shown = at
        self._late = 0.0
        self._has_begun = self._is_playing = False

    def standing(self) -> Standing:
        """How it stands now."""
        return Standing(
            made=self._made,
            playing=self.playing,
            allowed_lead=self.allowed_lead,
            deadlines_missed=self._missed,
            stall_seconds=self._stalled + self._dry(),
        )

    def _would_play(self) -> float:
        """The media second on screen if everything were made."""
        moves = self._is_playing and not self._is_paused
        return self._shown + (self._clock() - self._since if moves else 0.0)

    def _dry(self) -> float:
        """Seconds since playback ran out of media."""
        return max(0.0, self._would_play() - self._made) if self._has_begun else 0.0

    def _settle(self) -> None:
        """Book the time since the last call: as played, and what went beyond the media as stood still."""
        dry = self._dry()
        self._stalled += dry
        self._late += dry
        self._shown, self._since = self.playing, self._clock()
