"""What training never sees: a tenth of (shape, colour, motion) combinations and a fifth of the wordings."""

import json
from functools import cache
from importlib.resources import files

from longtake.world.vocabulary import COLOURS, LEVELS, MOTIONS, SHAPES

Kind = tuple[str, str, str]
"""(shape, colour, motion)."""


def build() -> dict[str, list[list[str]] | dict[str, list[str]]]:
    """The contents of held_out.json: one colour for each shape and motion, in turn; every fifth wording."""
    from longtake.world.wording import TEMPLATES

    pairs = [(shape, motion) for motion in MOTIONS for shape in SHAPES]
    kinds = [[shape, COLOURS[(7 * i + 3) % len(COLOURS)], motion] for i, (shape, motion) in enumerate(pairs)]
    wordings = {str(level): list(TEMPLATES[level][3::5]) for level in LEVELS}
    return {"combinations": kinds, "wordings": wordings}


@cache
def _stored() -> dict[str, list[list[str]] | dict[str, list[str]]]:
    return json.loads(files(__package__).joinpath("held_out.json").read_text("utf-8"))


@cache
def combinations() -> frozenset[Kind]:
    """The held-out (shape, colour, motion) combinations."""
    return frozenset((row[0], row[1], row[2]) for row in _stored()["combinations"])


@cache
def wordings(level: int) -> frozenset[str]:
    """The held-out templates of a level."""
    stored = _stored()["wordings"]
    assert isinstance(stored, dict)
    return frozenset(stored[str(level)])


def may_show(kind: Kind, split: str) -> bool:
    """Whether a split may show a solid besides others: train nothing that is held out."""
    return split != "train" or kind not in combinations()


def allows(kinds: list[Kind], split: str) -> bool:
    """Whether a split may show these solids: train none that is held out, held_out at least one."""
    if split == "any":
        return True
    held = any(kind in combinations() for kind in kinds)
    return held == (split == "held_out")
