"""Metrics of any video, in one pass over its frames with constant memory.

A metric is a `Meter`: it is shown every frame in order and says at the end what it found. A new metric is one file
here, listed in `evaluate.py`. Every file's text gives the definition, the source, the unit, which direction is better,
and what the metric cannot see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "Finding", "Frame", "Meter"]

Frame = NDArray[np.uint8]
"""One pixel frame, RGB, `[H, W, 3]`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A figure over time."""

    seconds: tuple[float, ...]
    """Media time of each value."""
    values: tuple[float | None, ...]
    """The values; None where there is none."""
    unit: str = ""
    """Their unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a meter found."""

    values: Mapping[str, float | int | None] = field(default_factory=dict)
    """Figures by name; None when a figure does not apply to this video."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """Figures over time by name."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """By figure: why it is None, or what a reader of it must know."""


class Meter(Protocol):
    """One metric at work on one video."""

    def add(self, frame: Frame) -> None:
        """See the next frame."""
        ...

    def finish(self) -> Finding:
        """What was found in the frames seen; called once, after the last."""
        ...
