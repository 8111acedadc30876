"""Does a take show its prompt: in the first seconds, and much later in the same take?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from longtake.measure.bench import BY_DEFAULT, TRUTH, Bench
from longtake.measure.cases import Case, held_out_cases
from longtake.measure.cuts import DEFINITION as CUTS
from longtake.measure.cuts import cuts
from longtake.measure.filming import film
from longtake.measure.motion import DEFINITION as FLOW
from longtake.measure.motion import STILL, in_range, object_flow
from longtake.measure.results import Figure, Result
from longtake.measure.stats import share_of

__all__ = ["adherence", "long"]

SECONDS = 4.0
"""How much of a take is read at its beginning."""
LEAST = {1: {"colour": 0.90, "shape": 0.90, "motion": 0.85}, 2: {"pairing": 0.75}, 3: {}}
"""What is asked of each level in the first seconds."""
LEAST_LATE = {1: {"colour": 0.80, "shape": 0.80, "motion": 0.80}, 2: {}, 3: {}}
"""What is asked much later."""
EARLY = f"control: the first {SECONDS:g} seconds of the same takes"


def adherence(bench: Bench) -> Result:
    """The first four seconds of takes of held-out prompts."""
    frames = bench.frames(SECONDS)

    def do(case: Case) -> dict[str, Any]:
        made = film(bench.pipe, case, frames)
        bench.show(case, made)
        reading, truth = bench.read(made, bench.truth(case, frames))
        return {"reading": reading.to_dict(), "truth": truth.to_dict()}

    cases = held_out_cases(bench.level, bench.prompts)
    takes = bench.run(f"adherence-level{bench.level}", {"frames": frames}, cases, do)
    table = [*takes.table("reading", LEAST[bench.level]), *takes.controls()]
    title = f"Level {bench.level}: the first {SECONDS:g} seconds of {len(cases)} held-out prompts"
    return takes.result(title, BY_DEFAULT, table)


def long(bench: Bench, window: tuple[int, int] = (1000, 1200)) -> Result:
    """The same takes much later: read, looked through for cuts, and compared in motion with toybox."""
    first, end = window

    def do(case: Case) -> dict[str, Any]:
        whole = film(bench.pipe, case, end)
        late, true = whole[first:], bench.truth(case, end - first, first)
        bench.show(case, late)
        colours = tuple(solid.colour for solid in case.asked.solids)
        reading, truth = bench.read(late, true)
        [early] = bench.read(whole[: bench.frames(SECONDS)])
        return {
            "reading": reading.to_dict(),
            "early": early.to_dict(),
            "truth": truth.to_dict(),
            "cuts": cuts(whole),
            "true_cuts": cuts(true),
            "flow": object_flow(late, colours, bench.reader),
            "true_flow": object_flow(true, colours, bench.reader),
        }

    cases = held_out_cases(bench.level, bench.prompts)
    takes = bench.run(f"long-level{bench.level}", {"frames": list(window)}, cases, do)
    table = [
        *takes.table("reading", LEAST_LATE[bench.level]),
        *movement(takes.rows),
        *takes.table("early", {}, EARLY),
        *takes.controls(),
    ]
    title = f"Level {bench.level}: the same takes at frames {first} to {end}"
    return takes.result(title, f"{BY_DEFAULT} Cuts over the whole take: {CUTS}. Flow: {FLOW}.", table)


def movement(rows: Sequence[dict[str, Any]]) -> list[Figure]:
    """Cuts, and object flow against toybox's."""
    found, true = (float(sum(len(row[name]) for row in rows)) for name in ("cuts", "true_cuts"))
    moving = [row for row in rows if row["flow"] is not None and (row["true_flow"] or 0.0) >= STILL]
    ratios = [row["flow"] / row["true_flow"] for row in moving]
    within = share_of([in_range(row["flow"], row["true_flow"]) for row in rows])
    return [
        Figure(name="cuts", value=found, unit="cuts", count=len(rows), asked="<= 0"),
        Figure(name="cuts", value=true, unit="cuts", count=len(rows), note=TRUTH),
        Figure(
            name="object flow over toybox's, median",
            value=float(np.median(ratios)) if ratios else None,
            unit="ratio",
            count=len(ratios),
            note="prompts whose solids move and were found" if ratios else "no moving solid was found",
        ),
        Figure.share("object flow within 50–200 % of toybox's", within),
    ]
