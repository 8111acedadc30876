"""What a clip is read as, in words, and how words are drawn from probabilities.

An answer that is not sure enough is `UNKNOWN`: whoever scores a generator counts it as wrong. K colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from longtake.world.reader_config import ReaderConfig

__all__ = ["UNKNOWN", "ReadSolid", "Reading", "Scores", "Trust", "decide", "mean_scores"]

UNKNOWN = "unknown"
"""The answer of a reader that abstains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadSolid:
    """A solid as it was read; every field but the colour may be `UNKNOWN`."""

    colour: str
    """One of vocabulary.COLOURS; names the solid, for colours are distinct within a scene."""
    shape: str = UNKNOWN
    """One of vocabulary.SHAPES."""
    motion: str = UNKNOWN
    """One of vocabulary.MOTIONS."""
    size: str = UNKNOWN
    """One of vocabulary.SIZES."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the reader makes of a clip."""

    objects: tuple[ReadSolid, ...] = ()
    """The solids, in the order of vocabulary.COLOURS; none when the clip is not legible."""
    ground: str = UNKNOWN
    """One of vocabulary.GROUNDS."""
    camera: str = UNKNOWN
    """One of vocabulary.CAMERAS."""
    count: int | None = None
    """How many solids; None is unknown."""
    legible: bool = False
    """Whether the clip could be read at all."""

    def solid(self, colour: str) -> ReadSolid | None:
        """The solid of a colour, or None."""
        return next((each for each in self.objects if each.colour == colour), None)

    def to_dict(self) -> dict[str, Any]:
        """The reading as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """When the reader believes itself. The defaults were chosen on windows of their own, not on the gate's: higher
    ones abstain more on faulty clips, and begin to lose true ones."""

    legible: float = 0.7
    """Least probability that a clip is legible."""
    solid: float = 0.95
    """Least probability that a solid is whole and clear; below it all its answers are unknown."""
    present: float = 0.5
    """Least probability that a solid of a colour is there."""
    answer: float = 0.6
    """Least probability of the best choice of any attribute."""
    reported: tuple[str, ...] = ("shape", "motion", "size", "ground", "camera", "count")
    """Attributes that passed the gate; the others are always unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Probabilities behind a reading. K colours."""

    legible: float
    """That the clip can be read."""
    present: np.ndarray
    """[K]: that a solid of the colour is there."""
    whole: np.ndarray
    """[K]: that this solid is whole and clear."""
    answers: dict[str, np.ndarray] = field(default_factory=dict)
    """For each attribute of solids, [K, choices]; zeros where no solid was found."""
    ground: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """[grounds]."""
    camera: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """[cameras]."""


def _choose(probabilities: np.ndarray, choices: Sequence[str], trust: Trust, name: str) -> str:
    best = int(probabilities.argmax())
    sure = name in trust.reported and probabilities[best] >= trust.answer
    return choices[best] if sure else UNKNOWN


def decide(scores: Scores, config: ReaderConfig, trust: Trust) -> Reading:
    """From probabilities to words; of a solid that is not whole and clear only the colour is named."""
    there = [k for k in range(len(config.colours)) if scores.present[k] >= trust.present]
    clear = [k for k in there if scores.whole[k] >= trust.solid]
    if scores.legible < trust.legible:
        return Reading()
    solids = []
    for k in there:
        answers = {
            name: _choose(scores.answers[name][k], choices, trust, name) if k in clear else UNKNOWN
            for name, choices in config.answers
        }
        solids.append(ReadSolid(colour=config.colours[k], **answers))
    return Reading(
        objects=tuple(solids),
        ground=_choose(scores.ground, config.grounds, trust, "ground"),
        camera=_choose(scores.camera, config.cameras, trust, "camera"),
        count=len(solids) if "count" in trust.reported else None,
        legible=True,
    )


def mean_scores(parts: Sequence[Scores]) -> Scores:
    """Mean over readings of a clip; a solid's answers over the readings in which it was found."""
    found = np.stack([part.answers[next(iter(part.answers))].sum(1) > 0 for part in parts])
    number = np.maximum(found.sum(0), 1)
    return Scores(
        legible=float(np.mean([part.legible for part in parts])),
        present=np.mean([part.present for part in parts], 0),
        whole=np.sum([part.whole for part in parts], 0) / number,
        answers={
            name: np.sum([part.answers[name] for part in parts], 0) / number[:, None]
            for name in parts[0].answers
        },
        ground=np.mean([part.ground for part in parts], 0),
        camera=np.mean([part.camera for part in parts], 0),
    )
