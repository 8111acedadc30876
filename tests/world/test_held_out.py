"""The stored list is what its function makes, and it is a tenth and a fifth."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files

from longtake.world import held_out
from longtake.world.vocabulary import COLOURS, LEVELS, MOTIONS, SHAPES
from longtake.world.wording import TEMPLATES


def test_stored_list_is_the_one_that_the_function_makes() -> None:
    stored = json.loads(files("longtake.world").joinpath("held_out.json").read_text("utf-8"))
    assert stored == held_out.build()


def test_a_tenth_of_the_combinations_spread_over_shapes_motions_and_colours() -> None:
    kinds = held_out.combinations()
    assert len(kinds) * 10 == len(SHAPES) * len(COLOURS) * len(MOTIONS)
    assert set(Counter((shape, motion) for shape, _, motion in kinds).values()) == {1}
    assert set(Counter(colour for _, colour, _ in kinds).values()) == {3, 4}


def test_a_fifth_of_the_wordings_of_each_level_and_ten_remain_or_were_there() -> None:
    for level in LEVELS:
        assert len(held_out.wordings(level)) * 5 == len(TEMPLATES[level])
        assert len(TEMPLATES[level]) >= 10
