"""Whether a clip shows what its prompt asked for, by the toybox reader. `UNKNOWN` is wrong, always.

Of every solid that is asked for:

- colour: a solid of that colour is read, and no more solids than were asked for;
- shape: a solid of that shape is read, each read solid standing for one asked solid, and no more than were
  asked for;
- motion: the solid of that colour (with one asked and one read, that one) has the asked motion;
- pairing: the solid of that colour has the asked shape.

Of every clip: ground, and count. A clip's adherence in one number is the mean over `JUDGED`, each a mean over its
solids, of those that the reader has passed its gate for. Shares are over solids or clips, with 95 % intervals: Wilson's
where there is one answer a clip, the bootstrap over clips where clips have several solids, for those of one clip are
not independent. Limits: directions, sizes and materials in a prompt are not scored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from longtake.errors import UserError
from longtake.measure.cases import Asked
from longtake.measure.results import Figure
from longtake.measure.stats import share_by_clip, share_of
from longtake.world.reading import Reading, ReadSolid

__all__ = ["ATTRIBUTES", "NEEDS", "figures", "judged", "reading_from_dict", "score", "shares", "shuffled"]

ATTRIBUTES = ("colour", "shape", "motion", "pairing", "ground", "count")
NEEDS = {
    "colour": "count",
    "shape": "shape",
    "motion": "motion",
    "pairing": "shape",
    "ground": "ground",
    "count": "count",
}
"""What the reader must be trusted with for an attribute to count; a solid is named by its colour."""
JUDGED = ("colour", "shape", "motion", "ground", "count")
"""What a clip's adherence is a mean of; pairing says nothing that colour and shape do not."""


def score(asked: Asked, reading: Reading) -> dict[str, list[bool]]:
    """Right or wrong by attribute: one entry a solid, or one a clip."""
    extra = len(reading.objects) > len(asked.solids)
    shapes = Counter(solid.shape for solid in reading.objects)
    outcome: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for solid in asked.solids:
        same = reading.solid(solid.colour)
        outcome["colour"].append(same is not None and not extra)
        outcome["shape"].append(shapes[solid.shape] > 0 and not extra)
        shapes[solid.shape] -= 1
        moving = same or _only(asked, reading)
        outcome["motion"].append(moving is not None and moving.motion == solid.motion)
        outcome["pairing"].append(same is not None and same.shape == solid.shape)
    outcome["ground"].append(reading.ground == asked.ground)
    outcome["count"].append(reading.count == len(asked.solids))
    return outcome


def judged(reported: Collection[str]) -> tuple[str, ...]:
    """Those of `JUDGED` that a reader which may report `reported` can judge. Raises UserError when there is none."""
    names = tuple(name for name in JUDGED if NEEDS[name] in reported)
    if not names:
        raise UserError("the reader has passed its gate for nothing that a prompt asks for; train it first")
    return names


def shares(asked: Asked, reading: Reading, names: Sequence[str]) -> dict[str, float]:
    """Share of a clip's solids that have each attribute, and their mean as `adherence`."""
    outcome = score(asked, reading)
    each = {name: sum(outcome[name]) / len(outcome[name]) for name in names}
    return {"adherence": sum(each.values()) / len(each), **each}


def _only(asked: Asked, reading: Reading) -> ReadSolid | None:
    """The read solid, when one was asked for and one was read."""
    return reading.objects[0] if len(asked.solids) == len(reading.objects) == 1 else None


def shuffled(keys: Sequence[str]) -> dict[str, str]:
    """Another clip's prompt for every clip: the next one half-way round, so that none keeps its own."""
    half = max(1, len(keys) // 2)
    return {key: keys[(index + half) % len(keys)] for index, key in enumerate(keys)}


def figures(
    asked: Mapping[str, Asked], readings: Mapping[str, Reading], least: Mapping[str, float], note: str = ""
) -> list[Figure]:
    """Shares over clips, and how many were legible; `least` is what is asked of an attribute, if anything."""
    outcomes = [score(asked[key], reading) for key, reading in readings.items()]
    table = [
        Figure.share(
            name, share_by_clip([outcome[name] for outcome in outcomes]), asked=least.get(name), note=note
        )
        for name in ATTRIBUTES
    ]
    legible = share_of([reading.legible for reading in readings.values()])
    return [*table, Figure.share("legible", legible, note=note)]


def reading_from_dict(values: Mapping[str, Any]) -> Reading:
    """What `Reading.to_dict` gave, after a journey through JSON."""
    return Reading(**{**values, "objects": tuple(ReadSolid(**each) for each in values["objects"])})
