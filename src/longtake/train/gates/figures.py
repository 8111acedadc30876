"""Figures of takes that a stage's model makes of held-out prompts, beside the true scenes.

Adherence: shares by the toybox reader, of those attributes for which the reader has passed its own gate; of others the
figure is left out, with the reason. `join_ratio`, `flicker`: see `measure.video.pace`; `drift_…`: see
`measure.video.drift`, sizes without sign; both as the median over takes. `proxy_fvd`: see `measure.frechet`, against
the true scenes of the same prompts. What is asked of a figure that is left out is not met. Nothing that measures has
taken part in training the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longtake.measure.adherence import ATTRIBUTES, NEEDS, reading_from_dict, score
from longtake.measure.cases import Case
from longtake.measure.frechet import LEAST, NAME, distances
from longtake.measure.results import Figure
from longtake.measure.stats import share_by_clip, share_of
from longtake.measure.video import Meter
from longtake.measure.video.drift import FIGURES as DRIFTS
from longtake.measure.video.drift import Drift
from longtake.measure.video.pace import Pace
from longtake.world.reader import Reader

__all__ = ["DEFINITION", "FIGURES", "LEFT_OUT", "Made", "figures", "measure", "without_model"]

DEFINITION = " ".join((__doc__ or "").split())
LOOKS = ("join_ratio", "flicker", *(f"drift_{name}" for name in DRIFTS))
FIGURES = (*ATTRIBUTES, "legible", *LOOKS, "proxy_fvd")
"""Everything that a gate can ask about."""
LEFT_OUT = "left out: "
"""How the note of a figure begins that could not be measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A take of a held-out prompt."""

    case: Case
    """The prompt and its true scene."""
    frames: np.ndarray
    """uint8 [T, H, W, 3]."""
    joins: tuple[int, ...]
    """First frame of every chunk but the first."""
    truth: np.ndarray
    """The true scene, as many frames."""


def measure(made: Made, reader: Reader, fps: int) -> dict[str, Any]:
    """What is kept of a take: plain JSON values."""
    [reading] = reader.read_batch(made.frames[None], fps)
    meters: list[Meter] = [Pace(fps, lambda: made.joins), Drift(fps)]
    for frame in made.frames:
        for meter in meters:
            meter.add(frame)
    values = {name: value for meter in meters for name, value in meter.finish().values.items()}
    return {
        "reading": reading.to_dict(),
        "looks": {name: values[name] for name in LOOKS},
        "features": reader.features(made.frames[None], fps)[0].tolist(),
        "true_features": reader.features(made.truth[None], fps)[0].tolist(),
    }


def figures(
    rows: Sequence[Mapping[str, Any]], cases: Sequence[Case], reader: Reader, asked: Mapping[str, str]
) -> list[Figure]:
    """The figures over all takes; `asked` by name."""
    return [*_adherence(rows, cases, reader, asked), *_looks(rows, asked), _proxy_fvd(rows, asked)]


def without_model(asked: Mapping[str, str]) -> list[Figure]:
    """What is asked of a stage that makes no model: none of it can be measured."""
    return [_left_out(name, asked, "the stage makes no model") for name in asked]


def _adherence(
    rows: Sequence[Mapping[str, Any]], cases: Sequence[Case], reader: Reader, asked: Mapping[str, str]
) -> list[Figure]:
    readings = [reading_from_dict(row["reading"]) for row in rows]
    outcomes = [score(case.asked, reading) for case, reading in zip(cases, readings, strict=True)]
    table = []
    for name in ATTRIBUTES:
        if NEEDS[name] not in reader.trust.reported:
            why = f"the reader did not pass its gate for {NEEDS[name]}"
            table.append(_left_out(name, asked, why, unit="share"))
            continue
        share = share_by_clip([outcome[name] for outcome in outcomes])
        if not share.total:
            table.append(_left_out(name, asked, "no prompt says anything of it", unit="share"))
            continue
        table.append(_figure(name, share.value, asked, "share", share.interval, share.total, share.note))
    legible = share_of([reading.legible for reading in readings])
    return [*table, _figure("legible", legible.value, asked, "share", legible.interval, legible.total)]


def _looks(rows: Sequence[Mapping[str, Any]], asked: Mapping[str, str]) -> list[Figure]:
    table = []
    for name in LOOKS:
        values = [abs(row["looks"][name]) for row in rows if row["looks"][name] is not None]
        if values:
            table.append(_figure(name, float(np.median(values)), asked, count=len(values), note="median"))
        else:
            table.append(_left_out(name, asked, "the takes are too short, or have no joins"))
    return table


def _proxy_fvd(rows: Sequence[Mapping[str, Any]], asked: Mapping[str, str]) -> Figure:
    if len(rows) < LEAST:
        return _left_out("proxy_fvd", asked, f"needs {LEAST} takes at least")
    true, found = (np.array([row[name] for row in rows]) for name in ("true_features", "features"))
    distance = distances(true, found)
    return _figure("proxy_fvd", distance.value, asked, NAME, distance.interval, distance.clips)


def _left_out(name: str, asked: Mapping[str, str], why: str, unit: str = "") -> Figure:
    return Figure(name=name, value=None, unit=unit, asked=asked.get(name), note=LEFT_OUT + why)


def _figure(
    name: str,
    value: float | None,
    asked: Mapping[str, str],
    unit: str = "",
    interval: tuple[float, float] | None = None,
    count: int | None = None,
    note: str = "",
) -> Figure:
    return Figure(
        name=name, value=value, unit=unit, interval=interval, count=count, asked=asked.get(name), note=note
    )
