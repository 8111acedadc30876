"""Several models on the same held-out prompts and seeds: every take measured alike, one ledger a model.

Of a take are kept: the reader's view of its head (and of its tail of the same length, where the take is twice as long),
the reader's features of the head and of the true scene's, and how its look goes over time, identity by mini-clip. With
`--pictures` every model has a folder of its own: contact sheets, and X–T slices.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.errors import UserError
from longtake.measure.adherence import judged, reading_from_dict, shares
from longtake.measure.bench import Bench, Takes
from longtake.measure.cases import Case, held_out_cases
from longtake.measure.filming import timeline_of
from longtake.measure.hashes import policy_hash
from longtake.measure.joins import xt_slice
from longtake.measure.video.clip import MiniClipEncoder
from longtake.measure.video.drift import Drift
from longtake.measure.video.evaluate import run_meters
from longtake.measure.video.pace import Pace
from longtake.measure.video.page import png
from longtake.measure.video.shots import Shots
from longtake.pipeline import Pipeline

__all__ = ["LOOKS", "SLICE", "Contest", "Entrant", "Made", "entrants"]

LOOKS = (
    "drift_identity", "drift_colour", "drift_contrast", "drift_sharpness", "drift_saturation", "flicker",
    "join_ratio", "still_share", "cuts",
)  # fmt: skip
SLICE = "-xt.png"
"""End of the name of an X–T slice, behind the case's key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrant:
    """A model under the name that tables give it."""

    name: str
    """Letters, digits, dots and dashes."""
    pipe: Pipeline
    """The model, with its default settings."""


def entrants(models: Sequence[str], load: Callable[[str], Pipeline]) -> list[Entrant]:
    """Models written as `MODEL` or `NAME=MODEL`, opened.

    Raises UserError for names that are not simple, or given twice.
    """
    found = []
    for text in models:
        name, equals, model = text.partition("=")
        pipe = load(model if equals else text)
        found.append(Entrant(name=name if equals else pipe.name, pipe=pipe))
    names = [each.name for each in found]
    wrong = [name for name in names if not re.fullmatch(r"[\w.-]+", name) or names.count(name) > 1]
    if wrong:
        raise UserError(f"model {wrong[0]!r} needs a simple name of its own; write NAME=MODEL")
    return found


@dataclass(frozen=True, kw_only=True)
class Made:
    """What an entrant made of all prompts."""

    entrant: Entrant
    """Whose takes."""
    takes: Takes
    """The ledger, and what it was for."""
    names: tuple[str, ...]
    """Attributes that the reader judges."""

    @property
    def about(self) -> dict[str, Any]:
        """Which networks they were made with, and how it streams, for a result of several."""
        about = self.takes.ledger.about
        kept = {name: about[name] for name in ("model", "weights", "memories", "dtype") if name in about}
        return kept | {"policy": policy_hash(self.entrant.pipe.preset.policy)}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a prompt."""
        return self.takes.rows

    def adherence(self, part: str, what: str = "adherence") -> list[float]:
        """Of every take, by attribute or as a whole; `part` is head, tail or truth."""
        return [
            shares(case.asked, reading_from_dict(row[part]), self.names)[what]
            for case, row in zip(self.takes.cases, self.rows, strict=True)
        ]

    def features(self, part: str) -> NDArray[np.float64]:
        """`[N, D]`; `part` is head or truth."""
        return np.array([row[f"{part}_features"] for row in self.rows])

    def of(self, what: str) -> list[float | None]:
        """A figure of every take."""
        return [row["looks"][what] if what in LOOKS else row[what] for row in self.rows]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The terms: prompts, seeds, lengths."""

    bench: Bench
    """Reader, prompts and place; its model is not used."""
    name: str
    """Stem of the ledgers."""
    frames: int
    """Frames of a take."""
    head: int
    """Frames that are read at the beginning, and at the end."""

    @property
    def has_tail(self) -> bool:
        """Whether the end is read by itself."""
        return self.frames >= 2 * self.head

    @cached_property
    def _clip(self) -> MiniClipEncoder:
        return MiniClipEncoder()

    def pictures(self, entrant: Entrant) -> Path | None:
        """Folder of the entrant's pictures, if they are wanted."""
        return self.bench.pictures and self.bench.pictures / entrant.name

    def made_by(self, entrant: Entrant) -> Made:
        """Make what the entrant's ledger lacks."""
        own = replace(self.bench, pipe=entrant.pipe, pictures=self.pictures(entrant))
        names = judged(own.reader.trust.reported)
        policy = entrant.pipe.preset.policy.model_dump(mode="json", exclude_defaults=True)
        config = {"frames": self.frames, "head": self.head, "policy": policy}
        cases = held_out_cases(own.level, own.prompts)
        takes = own.run(f"{self.name}-{entrant.name}", config, cases, lambda case: self._take(own, case))
        return Made(entrant=entrant, takes=takes, names=names)

    def _take(self, bench: Bench, case: Case) -> dict[str, Any]:
        begin, fps = time.perf_counter(), bench.pipe.fps
        chunks = list(bench.pipe.stream(timeline_of(case), seed=case.seed, num_frames=self.frames))
        spent = time.perf_counter() - begin
        clip = np.concatenate([chunk.frames for chunk in chunks])
        bench.show(case, clip)
        if bench.pictures is not None:
            (bench.pictures / f"{case.key}{SLICE}").write_bytes(png(xt_slice(clip)))
        head, truth = clip[: self.head], bench.truth(case, self.head)
        joins = [chunk.start_frame for chunk in chunks[1:]]
        drift = Drift(fps, embed=self._clip.image, embedder=self._clip.name)
        _, finding = run_meters([drift, Pace(fps, lambda: joins), Shots()], clip)
        parts = {"head": head, "truth": truth} | ({"tail": clip[-self.head :]} if self.has_tail else {})
        readings = dict(zip(parts, bench.read(*parts.values()), strict=True))
        features = bench.reader.features(np.stack([head, truth]), fps)
        curve = finding.curves["drift_colour"]
        return {
            **{part: reading.to_dict() for part, reading in readings.items()},
            "head_features": _rounded(features[0]),
            "truth_features": _rounded(features[1]),
            "looks": {name: finding.values[name] for name in LOOKS},
            "curve": [list(curve.seconds), [round(value or 0.0, 3) for value in curve.values]],
            "take_seconds": spent,
            "rtf": len(clip) / fps / spent,
        }


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
