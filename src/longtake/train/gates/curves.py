"""Whether the curves of a run's log run where they are expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longtake.measure.results import Figure
from longtake.train.gates.config import Band
from longtake.train.gates.figures import LEFT_OUT
from longtake.train.plots import smooth

__all__ = ["curve_figures"]


def curve_figures(records: Sequence[Mapping[str, Any]], bands: Sequence[Band]) -> list[Figure]:
    """Two figures (least and greatest) for every point of a band that the run has reached.

    Of a band whose figure the log does not have, one that is not known.
    """
    return [figure for band in bands for figure in _of_band(records, band)]


def _of_band(records: Sequence[Mapping[str, Any]], band: Band) -> list[Figure]:
    lines = [line for line in records if line["kind"] == "train" and line.get(band.figure) is not None]
    if not lines:
        step, (low, _) = min(band.points.items())
        name, why = f"{band.figure} at step {step}", f"{LEFT_OUT}the log has no {band.figure}"
        return [Figure(name=name, value=None, asked=f">= {low:g}", note=why)]
    steps = [int(line["step"]) for line in lines]
    values = smooth([float(line[band.figure]) for line in lines])
    figures: list[Figure] = []
    for step, (low, high) in sorted(band.points.items()):
        reached = [index for index, at in enumerate(steps) if at <= step]
        if not reached or steps[-1] < step:
            continue
        value = values[reached[-1]]
        name = f"{band.figure} at step {step}"
        figures += [
            Figure(name=name, value=value, asked=f">= {low:g}", note="smoothed"),
            Figure(name=name, value=value, asked=f"<= {high:g}", note="smoothed"),
        ]
    return figures
