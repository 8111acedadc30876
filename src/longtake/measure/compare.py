"""Methods of going on side by side: the same weights, prompts and seeds, one table, paired by prompt."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from longtake.measure.adherence import score
from longtake.measure.bench import BY_READER, Bench, Takes
from longtake.measure.cases import Case, held_out_cases
from longtake.measure.filming import timeline_of
from longtake.measure.methods import METHODS, with_method, with_steps
from longtake.measure.paired import beside
from longtake.measure.results import Figure, Result
from longtake.measure.video import Meter
from longtake.measure.video.drift import Drift
from longtake.measure.video.evaluate import run_meters
from longtake.measure.video.flow import choose_flow
from longtake.measure.video.mawe import Mawe
from longtake.measure.video.pace import Pace
from longtake.measure.video.shots import Shots
from longtake.measure.video.table import FIGURES

__all__ = ["compare"]

SHOWN = (
    "mawe_paper", "mawe_reference", "flow_mean", "cuts", "drift_colour", "drift_contrast", "drift_sharpness",
    "drift_saturation", "still_share", "flicker", "join_ratio",
)  # fmt: skip
READ = ("colour", "shape", "motion")
LATE_SECONDS = 2.0
"""The end of a take that the reader reads."""


def compare(bench: Bench, methods: Sequence[str], frames: int, steps: int | None = None) -> Result:
    """Every prompt through every method. Goes on after the last take that was done.

    steps: denoising steps of every method; the model's own unless given.
    """
    if steps is not None:
        bench = replace(bench, pipe=with_steps(bench.pipe, steps))
    cases, flow = held_out_cases(bench.level, bench.prompts), choose_flow()
    made = dict[str, Takes]()
    for name in methods:
        pictures = bench.pictures / name if bench.pictures else None
        own = replace(bench, pipe=with_method(bench.pipe, name), pictures=pictures)

        def do(case: Case, own: Bench = own) -> dict[str, Any]:
            return _measured(own, case, frames, [Mawe(flow, own.pipe.fps), Drift(own.pipe.fps), Shots()])

        sampler = own.pipe.preset.policy.sampler.model_dump(mode="json", exclude_defaults=True)
        config = {"frames": frames, "method": name, "flow": flow.name, "sampler": sampler}
        made[name] = own.run(f"methods-{name}-level{bench.level}", config, cases, do)
    rows = {name: takes.rows for name, takes in made.items()}
    about = {key: value for takes in made.values() for key, value in takes.ledger.about.items()}
    table = [figure for name in methods for figure in _figures(name, rows[name], rows[methods[0]])]
    notes = tuple(f"{name}: {METHODS[name]}" for name in methods)
    result = made[methods[-1]].result(
        f"Methods of going on, {len(cases)} prompts of {frames} frames",
        f"{BY_READER} {_settings(steps)} Colour, shape and motion in the last {LATE_SECONDS:g} seconds. The other "
        f"figures are those of `longtake eval`; flow by {flow.name}. Means over prompts with 95 % intervals "
        f"(bootstrap); in brackets the mean difference to {methods[0]} on the same prompts.",
        table,
    )
    return replace(
        result,
        name=f"methods-level{bench.level}",
        config={
            key: value for key, value in {**about, **result.config}.items() if key not in ("method", "policy")
        },
        notes=notes,
        columns=True,
        seconds=sum(row["seconds"] for each in rows.values() for row in each),
    )


def _settings(steps: int | None) -> str:
    """How the takes differ from what `generate` makes by default."""
    each = "Each method by its own policy, otherwise with the default settings of `generate`"
    return f"{each}." if steps is None else f"{each} but for {steps} denoising steps."


def _measured(bench: Bench, case: Case, frames: int, meters: list[Meter]) -> dict[str, Any]:
    begin = time.perf_counter()
    chunks = list(bench.pipe.stream(timeline_of(case), seed=case.seed, num_frames=frames))
    made = time.perf_counter() - begin
    clip = np.concatenate([chunk.frames for chunk in chunks])
    joins = [chunk.start_frame for chunk in chunks[1:]]
    bench.show(case, clip)
    _, finding = run_meters([*meters, Pace(bench.pipe.fps, lambda: joins)], clip)
    [reading] = bench.read(clip[-bench.frames(LATE_SECONDS) :])
    hits = score(case.asked, reading)
    return {
        "values": {name: finding.values[name] for name in SHOWN},
        "read": {name: float(np.mean(hits[name])) for name in READ},
        "rtf": frames / bench.pipe.fps / made,
    }


def _figures(name: str, rows: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> list[Figure]:
    columns = {
        f"{what} read": ([row["read"][what] for row in rows], [row["read"][what] for row in base])
        for what in READ
    }
    columns |= {
        FIGURES[what].title: ([row["values"][what] for row in rows], [row["values"][what] for row in base])
        for what in SHOWN
    }
    columns["real-time factor"] = ([row["rtf"] for row in rows], [row["rtf"] for row in base])
    return [beside(f"{name}: {title}", own, other) for title, (own, other) in columns.items()]
