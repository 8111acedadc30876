"""A colour or a motion changes in the prompt: is it seen in time, and is the rest of the scene kept?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from longtake.errors import UserError
from longtake.measure.bench import BY_DEFAULT, BY_READER, Bench
from longtake.measure.cases import AskedSolid, Case, change_cases
from longtake.measure.filming import film
from longtake.measure.results import Figure, Result
from longtake.measure.stats import share_of
from longtake.models.policy import Policy
from longtake.pipeline import Pipeline
from longtake.world.reading import UNKNOWN, Reading, ReadSolid

__all__ = ["POLICIES", "change", "changed_by", "outcome"]

ATTRIBUTES = ("colour", "shape", "motion")
LEAST_NEW, LEAST_KEPT = 0.80, 0.85


POLICIES: dict[str, dict[str, Any]] = {
    "reset": {"kind": "reset"},
    "recache": {"kind": "recache", "keep_sink": True},
    "interpolate": {"kind": "interpolate", "chunks": 4},
}
"""What a new prompt can do to the past, as `Policy.prompt_change` spells it."""


def changed_by(pipe: Pipeline, name: str | None) -> Pipeline:
    """The pipeline with another way of changing prompts; None is its own. UserError for one that is not known."""
    if name is None:
        return pipe
    if name not in POLICIES:
        raise UserError(f"prompt change {name!r} is unknown; use one of {', '.join(POLICIES)}")
    return pipe.with_policy(
        Policy.model_validate(pipe.preset.policy.model_dump() | {"prompt_change": POLICIES[name]})
    )


def change(bench: Bench, at: float = 4.0, by: float = 8.0, policy: str | None = None) -> Result:
    """The prompt changes at second `at`; the take is read before it and before second `by`.

    policy: one of `POLICIES`; the model's own unless given.
    """
    bench = replace(bench, pipe=changed_by(bench.pipe, policy))
    window, turn, end = bench.reader.config.window, bench.frames(at), bench.frames(by)

    def do(case: Case) -> dict[str, Any]:
        made, true = film(bench.pipe, case, end), bench.truth(case, end)
        bench.show(case, made)
        clips = [frames[stop - window : stop] for frames in (made, true) for stop in (turn, end)]
        names = ("before", "after", "true_before", "true_after")
        return {name: reading.to_dict() for name, reading in zip(names, bench.read(*clips), strict=True)}

    cases = change_cases(bench.level, bench.prompts, at)
    kind = bench.pipe.preset.policy.prompt_change.kind
    name = f"change-level{bench.level}" + (f"-{policy}" if policy else "")
    takes = bench.run(name, {"at": at, "by": by, "prompt_change": kind}, cases, do)
    before, after = takes.readings("before"), takes.readings("after")
    outcomes = [outcome(case, before[case.key], after[case.key]) for case in cases]
    before, after = takes.readings("true_before"), takes.readings("true_after")
    true = [outcome(case, before[case.key], after[case.key]) for case in cases]
    reading = BY_READER if policy else BY_DEFAULT
    definition = (
        f"{reading} Read in the last {window} frames before second {at:g} and before second {by:g}. "
        "New: the changed solid has its new colour or motion. Kept: ground, count, and every other "
        "attribute (colour, shape, motion) of every solid are read as they were before the change; "
        "as asked: as the prompt has them."
    )
    title = f"Level {bench.level}: prompt changed at second {at:g}, read by second {by:g} ({kind})"
    control = "control: toybox's own rendering with the same change (upper bound)"
    return takes.result(title, definition, [*_table(outcomes, ""), *_table(true, control)])


def _table(outcomes: list[dict[str, bool]], note: str) -> list[Figure]:
    """Colour changes are the even cases, motion changes the odd ones; something is asked of both together."""
    table = []
    for kind, some in (("colour", outcomes[0::2]), ("motion", outcomes[1::2]), ("either", outcomes)):
        asked = kind == "either" and not note
        shares = {name: share_of([each[name] for each in some]) for name in ("new", "kept", "as_asked")}
        table += [
            Figure.share(f"new {kind} read", shares["new"], asked=LEAST_NEW if asked else None, note=note),
            Figure.share(
                f"rest kept, {kind}", shares["kept"], asked=LEAST_KEPT if asked else None, note=note
            ),
            Figure.share(f"rest as asked, {kind}", shares["as_asked"], note=note),
        ]
    return table


def outcome(case: Case, before: Reading, after: Reading) -> dict[str, bool]:
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


def _unchanged(one: AskedSolid, two: AskedSolid) -> list[str]:
    return [name for name in ATTRIBUTES if getattr(one, name) == getattr(two, name)]


def _kept(one: AskedSolid, two: AskedSolid, old: ReadSolid | None, new: ReadSolid | None) -> bool:
    """All that the change does not ask for is read as before; unknown is not kept."""
    if old is None or new is None:
        return False
    return all(getattr(old, name) == getattr(new, name) != UNKNOWN for name in _unchanged(one, two))


def _as_asked(one: AskedSolid, two: AskedSolid, new: ReadSolid | None) -> bool:
    return new is not None and all(getattr(new, name) == getattr(two, name) for name in _unchanged(one, two))
