"""Anchors as a person writes them: `0`, `2.5s`, `0+40` (the mean of two), `40@48` (from frame 48 on), `5s@6s`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from longtake.errors import UserError
from longtake.memory.apm import Anchors, Pin

_MOMENT = re.compile(r"(\d+)|(\d+(?:\.\d*)?|\.\d+)s")


def read_anchors(texts: Sequence[str], fps: float) -> Anchors:
    """Which frames a take of `fps` frames a second holds on to; the first where nothing is written.

    Raises UserError for what cannot be read.
    """
    return Anchors(pins=tuple(_pin(text, fps) for text in texts) or (Pin(),))


def _pin(text: str, fps: float) -> Pin:
    frames, _, since = text.replace(" ", "").partition("@")
    moments = tuple(_moment(part, text, fps) for part in frames.split("+"))
    return Pin(frames=moments, since=_moment(since, text, fps) if since else 0)


def _moment(part: str, text: str, fps: float) -> int:
    """The frame that a number, or a number of seconds, stands for."""
    found = _MOMENT.fullmatch(part)
    if found is None:
        raise UserError(
            f"anchor {text!r} cannot be read; write a frame (0), seconds (2.5s), several (0+40), "
            "or from when on it counts (40@48)"
        )
    return int(found[1]) if found[1] else round(float(found[2]) * fps)
