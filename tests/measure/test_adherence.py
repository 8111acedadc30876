"""How readings are scored against what was asked."""

from __future__ import annotations

import pytest

from longtake.measure.adherence import figures, reading_from_dict, score, shuffled
from longtake.measure.cases import Asked, AskedSolid, Case, change_cases, held_out_cases
from longtake.measure.change import outcome as change_outcome
from longtake.world.held_out import combinations
from longtake.world.reading import Reading, ReadSolid

RED_CUBE = AskedSolid(colour="red", shape="cube", motion="roll")
BLUE_CONE = AskedSolid(colour="blue", shape="cone", motion="stay")
ONE = Asked(solids=(RED_CUBE,), ground="sand")
TWO = Asked(solids=(RED_CUBE, BLUE_CONE), ground="sand")


def read(*solids: tuple[str, str, str], ground: str = "sand") -> Reading:
    return Reading(
        objects=tuple(ReadSolid(colour=c, shape=s, motion=m) for c, s, m in solids),
        ground=ground,
        camera="static",
        count=len(solids),
        legible=True,
    )


def test_the_right_clip_is_right_in_everything() -> None:
    outcome = score(TWO, read(("red", "cube", "roll"), ("blue", "cone", "stay")))
    assert all(all(hits) for hits in outcome.values())


def test_an_unknown_clip_is_wrong_in_everything() -> None:
    assert not any(any(hits) for hits in score(TWO, Reading()).values())


def test_swapped_colours_keep_colour_and_shape_but_lose_the_pairing() -> None:
    outcome = score(TWO, read(("red", "cone", "stay"), ("blue", "cube", "roll")))
    assert outcome["colour"] == [True, True]
    assert outcome["shape"] == [True, True]
    assert outcome["pairing"] == [False, False]
    assert outcome["motion"] == [False, False]


def test_a_solid_too_many_is_wrong_for_colour_and_shape() -> None:
    outcome = score(ONE, read(("red", "cube", "roll"), ("blue", "cone", "stay")))
    assert (outcome["colour"], outcome["shape"], outcome["count"]) == ([False], [False], [False])


def test_one_shape_does_not_stand_for_two() -> None:
    asked = Asked(solids=(RED_CUBE, AskedSolid(colour="blue", shape="cube", motion="stay")), ground="sand")
    assert score(asked, read(("red", "cube", "roll"), ("blue", "cone", "stay")))["shape"] == [True, False]


def test_motion_of_a_lone_solid_of_the_wrong_colour_counts() -> None:
    outcome = score(ONE, read(("green", "cube", "roll")))
    assert (outcome["colour"], outcome["motion"], outcome["shape"]) == ([False], [True], [True])


def test_shuffled_prompts_leave_no_clip_its_own() -> None:
    keys = [f"{i}" for i in range(7)]
    partners = shuffled(keys)
    assert sorted(partners.values()) == keys
    assert all(key != partner for key, partner in partners.items())


def test_figures_carry_what_is_asked_and_the_interval() -> None:
    table = {f.name: f for f in figures({"a": ONE}, {"a": read(("red", "cube", "stay"))}, {"motion": 0.85})}
    assert (table["shape"].value, table["motion"].value, table["motion"].met) == (1.0, 0.0, False)
    assert table["motion"].interval is not None


def test_solids_of_one_clip_are_not_counted_as_independent() -> None:
    """In half of the clips both solids are right, in the others none: as wide as of so many clips."""
    both, none = read(("red", "cube", "roll"), ("blue", "cone", "stay")), Reading()
    keys = [f"{index}" for index in range(64)]
    readings = {key: both if index % 2 else none for index, key in enumerate(keys)}
    table = {f.name: f for f in figures(dict.fromkeys(keys, TWO), readings, {})}
    colour, ground = table["colour"], table["ground"]
    assert (colour.value, colour.count, ground.count) == (0.5, 128, 64)
    assert "of 64 clips" in colour.note
    assert not ground.note
    assert colour.interval is not None
    assert ground.interval is not None
    widths = [high - low for low, high in (colour.interval, ground.interval)]
    assert widths[0] == pytest.approx(widths[1], abs=0.03)


def test_a_reading_survives_json() -> None:
    reading = read(("red", "cube", "roll"))
    assert reading_from_dict(reading.to_dict()) == reading


def test_cases_are_held_out_and_repeatable() -> None:
    cases = held_out_cases(2, 4)
    assert cases == held_out_cases(2, 4)
    for case in cases:
        kinds = {(solid.shape, solid.colour, solid.motion) for solid in case.asked.solids}
        assert kinds & combinations()
        assert all(solid.shape in case.prompt and solid.colour in case.prompt for solid in case.asked.solids)


def changed(before: AskedSolid, after: AskedSolid) -> Case:
    case = held_out_cases(1, 1)[0]
    wanted = Asked(solids=(after,), ground="sand")
    return Case(
        key="c",
        seed=0,
        scene=case.scene,
        prompt="",
        asked=Asked(solids=(before,), ground="sand"),
        change=(4.0, "", wanted),
    )


def test_change_of_colour_seen_and_the_rest_kept() -> None:
    case = changed(RED_CUBE, AskedSolid(colour="blue", shape="cube", motion="roll"))
    before = read(("red", "cube", "roll"))
    good = change_outcome(case, before, read(("blue", "cube", "roll")))
    assert good == {"new": True, "kept": True, "as_asked": True}
    still = change_outcome(case, before, before)
    assert still == {"new": False, "kept": True, "as_asked": True}
    other = change_outcome(case, before, read(("blue", "cone", "roll")))
    assert other == {"new": True, "kept": False, "as_asked": False}
    assert change_outcome(case, before, Reading()) == {"new": False, "kept": False, "as_asked": False}


def test_change_of_motion_needs_the_new_motion_of_the_same_solid() -> None:
    case = changed(RED_CUBE, AskedSolid(colour="red", shape="cube", motion="jump"))
    before = read(("red", "cube", "roll"))
    assert change_outcome(case, before, read(("red", "cube", "jump")))["new"]
    assert not change_outcome(case, before, read(("blue", "cube", "jump")))["new"]
    moved = change_outcome(case, before, read(("red", "cube", "jump"), ground="grass"))
    assert (moved["new"], moved["kept"]) == (True, False)


def test_change_cases_change_one_thing_at_the_second_asked_for() -> None:
    for index, case in enumerate(change_cases(1, 4, 4.0)):
        assert case.change is not None
        at, prompt, wanted = case.change
        [one], [two] = case.asked.solids, wanted.solids
        assert at == 4.0
        assert prompt != case.prompt
        assert (one.colour != two.colour) == (index % 2 == 0)
        assert (one.motion != two.motion) == (index % 2 == 1)
