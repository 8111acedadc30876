"""The benchmarks of quality: adherence in the first seconds, the same take much later, and a change of
prompt.

Every take is one line of a ledger; a benchmark that was stopped goes on with the next take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longtake.measure.adherence import figures, reading_from_dict, shuffled
from longtake.measure.cases import Asked, AskedSolid, Case, change_cases, held_out_cases
from longtake.measure.cuts import DEFINITION as CUTS
from longtake.measure.cuts import cuts
from longtake.measure.filming import about_model, film, seconds_to_frames
from longtake.measure.motion import DEFINITION as FLOW
from longtake.measure.motion import in_range, object_flow
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Ledger, Result
from longtake.measure.stats import share_of
from longtake.pipeline import Pipeline
from longtake.world.reader import UNKNOWN, Reader, Reading, ReadSolid

__all__ = ["adherence", "change", "long"]

Progress = Callable[[int, int, str], None]
"""Told after each take: how many are done, of how many, and its key."""

LEAST = {
    1: {"colour": 0.90, "shape": 0.90, "motion": 0.85},
    2: {"pairing": 0.75},
    3: {},
}
"""What is asked of each level in the first seconds."""
LEAST_LATE = {1: {"colour": 0.80, "shape": 0.80, "motion": 0.80}, 2: {}, 3: {}}
"""What is asked much later in the same take."""
BY_READER = (
    "Attributes by the toybox reader (its gate: `longtake bench reader`), which abstains on what it cannot "
    "read; unknown counts as wrong. Held-out attribute combinations and wordings. Default settings of "
    "`generate`."
)
TRUTH = "control: toybox's own rendering of the same scenes (upper bound)"
CHANCE = "control: each clip against another prompt (chance)"
SECONDS = 4.0


def _each(
    cases: Sequence[Case], ledger: Ledger, do: Callable[[Case], dict[str, Any]], progress: Progress
) -> None:
    for number, case in enumerate(cases):
        if case.key not in ledger:
            begin = time.perf_counter()
            values = do(case)
            ledger.add(case.key, prompt=case.prompt, seconds=time.perf_counter() - begin, **values)
        progress(number + 1, len(cases), case.key)


def _readings(cases: Sequence[Case], ledger: Ledger, field: str) -> dict[str, Reading]:
    return {case.key: reading_from_dict(ledger.rows[case.key][field]) for case in cases}


def _controls(cases: Sequence[Case], ledger: Ledger, asked: dict[str, Asked]) -> list[Figure]:
    made = _readings(cases, ledger, "reading")
    other = {key: asked[partner] for key, partner in shuffled(list(asked)).items()}
    truth = figures(asked, _readings(cases, ledger, "truth"), {}, TRUTH)
    return [*truth, *figures(other, made, {}, CHANCE)]


def adherence(
    pipe: Pipeline,
    reader: Reader,
    level: int,
    prompts: int,
    out: Path,
    progress: Progress,
    *,
    fresh: bool = False,
) -> Result:
    """The first four seconds of takes of held-out prompts."""
    frames = seconds_to_frames(pipe, SECONDS)
    name = f"adherence-level{level}"
    config = {**about_model(pipe), "level": level, "frames": frames}
    ledger = Ledger(out / f"{name}.jsonl", config, fresh=fresh)
    cases = held_out_cases(level, prompts)
    size = (pipe.height, pipe.width)

    def do(case: Case) -> dict[str, Any]:
        made, true = film(pipe, case, frames), case.truth(frames, size=size, fps=pipe.fps)
        one, two = reader.read_batch(np.stack([made, true]), pipe.fps)
        return {"reading": one.to_dict(), "truth": two.to_dict()}

    _each(cases, ledger, do, progress)
    asked = {case.key: case.asked for case in cases}
    table = figures(asked, _readings(cases, ledger, "reading"), LEAST[level])
    return Result(
        name=name,
        title=f"Level {level}: the first {SECONDS:g} seconds of {prompts} held-out prompts",
        definition=BY_READER,
        config=config | {"prompts": prompts},
        figures=(*table, *_controls(cases, ledger, asked)),
        provenance=provenance(str(pipe.backbone.dtype).removeprefix("torch.")),
        seconds=ledger.seconds,
    )


def long(
    pipe: Pipeline,
    reader: Reader,
    level: int,
    prompts: int,
    out: Path,
    progress: Progress,
    *,
    window: tuple[int, int] = (1000, 1200),
    fresh: bool = False,
) -> Result:
    """The same takes much later: read, looked through for cuts, and compared in motion with toybox."""
    first, end = window
    name = f"long-level{level}"
    config = {**about_model(pipe), "level": level, "frames": list(window)}
    ledger = Ledger(out / f"{name}.jsonl", config, fresh=fresh)
    cases = held_out_cases(level, prompts)
    size = (pipe.height, pipe.width)

    def do(case: Case) -> dict[str, Any]:
        whole = film(pipe, case, end)
        late, true = whole[first:], case.truth(end - first, start=first, size=size, fps=pipe.fps)
        colours = tuple(solid.colour for solid in case.asked.solids)
        one, two = reader.read_batch(np.stack([late, true]), pipe.fps)
        return {
            "reading": one.to_dict(),
            "truth": two.to_dict(),
            "cuts": cuts(whole),
            "true_cuts": cuts(true),
            "flow": object_flow(late, colours, reader),
            "true_flow": object_flow(true, colours, reader),
        }

    _each(cases, ledger, do, progress)
    asked = {case.key: case.asked for case in cases}
    table = figures(asked, _readings(cases, ledger, "reading"), LEAST_LATE[level])
    rows = [ledger.rows[case.key] for case in cases]
    return Result(
        name=name,
        title=f"Level {level}: the same takes at frames {first} to {end}",
        definition=f"{BY_READER} Cuts over the whole take: {CUTS}. Flow: {FLOW}.",
        config=config | {"prompts": prompts},
        figures=(*table, *_movement(rows), *_controls(cases, ledger, asked)),
        provenance=provenance(str(pipe.backbone.dtype).removeprefix("torch.")),
        seconds=ledger.seconds,
    )


def _movement(rows: Sequence[dict[str, Any]]) -> list[Figure]:
    """Cuts, and object flow against toybox's."""
    moving = [row for row in rows if row["flow"] is not None and (row["true_flow"] or 0.0) >= 0.1]
    ratios = [row["flow"] / row["true_flow"] for row in moving]
    within = share_of([in_range(row["flow"], row["true_flow"]) for row in rows])
    return [
        Figure(
            name="cuts",
            value=float(sum(len(row["cuts"]) for row in rows)),
            unit="cuts",
            count=len(rows),
            asked="<= 0",
        ),
        Figure(
            name="cuts",
            value=float(sum(len(r["true_cuts"]) for r in rows)),
            unit="cuts",
            count=len(rows),
            note=TRUTH,
        ),
        Figure(
            name="object flow over toybox's, median",
            value=float(np.median(ratios)) if ratios else None,
            unit="ratio",
            count=len(ratios),
            note="prompts whose solids move and were found" if ratios else "no moving solid was found",
        ),
        Figure.share("object flow within 50–200 % of toybox's", within),
    ]


def change(
    pipe: Pipeline,
    reader: Reader,
    level: int,
    prompts: int,
    out: Path,
    progress: Progress,
    *,
    at: float = 4.0,
    by: float = 8.0,
    fresh: bool = False,
) -> Result:
    """A colour or a motion changes in the prompt: is it seen in time, and is the rest kept?"""
    name = f"change-level{level}"
    config = {**about_model(pipe), "level": level, "at": at, "by": by}
    ledger = Ledger(out / f"{name}.jsonl", config, fresh=fresh)
    cases = change_cases(level, prompts, at)
    window = reader.config.window
    turn, end = seconds_to_frames(pipe, at), seconds_to_frames(pipe, by)

    def do(case: Case) -> dict[str, Any]:
        made = film(pipe, case, end)
        before, after = reader.read_batch(
            np.stack([made[turn - window : turn], made[end - window :]]), pipe.fps
        )
        return {"before": before.to_dict(), "after": after.to_dict()}

    _each(cases, ledger, do, progress)
    outcomes = [
        change_outcome(
            case, *(reading_from_dict(ledger.rows[case.key][side]) for side in ("before", "after"))
        )
        for case in cases
    ]
    kinds = {"colour": outcomes[0::2], "motion": outcomes[1::2], "either": outcomes}
    least = {"either": (0.80, 0.85)}
    table = [
        figure
        for kind, some in kinds.items()
        for figure in (
            Figure.share(
                f"new {kind} read", share_of([o["new"] for o in some]), asked=least.get(kind, (None, None))[0]
            ),
            Figure.share(
                f"rest kept, {kind}",
                share_of([o["kept"] for o in some]),
                asked=least.get(kind, (None, None))[1],
            ),
            Figure.share(f"rest as asked, {kind}", share_of([o["as_asked"] for o in some])),
        )
    ]
    return Result(
        name=name,
        title=f"Level {level}: prompt changed at second {at:g}, read by second {by:g}",
        definition=(
            f"{BY_READER} Read in the last {window} frames before second {at:g} and before second {by:g}. "
            "New: the changed solid has its new colour or motion. Kept: ground, count, and every other "
            "attribute (colour, shape, motion) of every solid are read as they were before the change; "
            "as asked: as the prompt has them."
        ),
        config=config | {"prompts": prompts},
        figures=tuple(table),
        provenance=provenance(str(pipe.backbone.dtype).removeprefix("torch.")),
        seconds=ledger.seconds,
    )


def change_outcome(case: Case, before: Reading, after: Reading) -> dict[str, bool]:
    """Whether the new attribute is read, the rest is as it was read before, and the rest is as the prompt
    asks."""
    assert case.change is not None
    wanted = case.change[2]
    turns = list(zip(case.asked.solids, wanted.solids, strict=True))
    found = [_follow(one, two, before, after) for one, two in turns]
    new = all(_is_new(one, two, after) for one, two in turns if one != two)
    kept = all(_kept(one, two, *pair) for (one, two), pair in zip(turns, found, strict=True))
    scene_kept = after.ground == before.ground != UNKNOWN and after.count == before.count is not None
    as_asked = all(_as_asked(one, two, new) for (one, two), (_, new) in zip(turns, found, strict=True))
    scene_asked = after.ground == wanted.ground and after.count == len(wanted.solids)
    return {"new": new, "kept": kept and scene_kept, "as_asked": as_asked and scene_asked}


def _follow(
    one: AskedSolid, two: AskedSolid, before: Reading, after: Reading
) -> tuple[ReadSolid | None, ReadSolid | None]:
    """The solid in both readings: by its colours, or the only one there is."""
    old = before.solid(one.colour) or (before.objects[0] if len(before.objects) == 1 else None)
    new = after.solid(two.colour) or after.solid(one.colour)
    return old, new or (after.objects[0] if len(after.objects) == 1 else None)


def _is_new(one: AskedSolid, two: AskedSolid, after: Reading) -> bool:
    solid = after.solid(two.colour)
    return solid is not None and (one.motion == two.motion or solid.motion == two.motion)


def _kept(one: AskedSolid, two: AskedSolid, old: ReadSolid | None, new: ReadSolid | None) -> bool:
    """All that the change does not ask for is read as before; unknown is not kept."""
    if old is None or new is None:
        return False
    return all(
        getattr(old, name) == getattr(new, name) != UNKNOWN
        for name in ("colour", "shape", "motion")
        if getattr(one, name) == getattr(two, name)
    )


def _as_asked(one: AskedSolid, two: AskedSolid, new: ReadSolid | None) -> bool:
    return new is not None and all(
        getattr(new, name) == getattr(two, name)
        for name in ("colour", "shape", "motion")
        if getattr(one, name) == getattr(two, name)
    )
