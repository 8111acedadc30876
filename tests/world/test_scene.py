"""Scenes are drawn from their seed, obey their level and split, and change only as asked."""

from __future__ import annotations

import pytest

from longtake.errors import UserError
from longtake.world import held_out
from longtake.world.captions import changes
from longtake.world.scene import Scene, sample_scene
from longtake.world.state import state
from longtake.world.vocabulary import COLOURS, EVENTS, GROUNDS, MOTIONS, SHAPES


def kinds_over_time(scene: Scene) -> set[tuple[str, str, str]]:
    moments = (state(scene, seconds) for seconds in changes(scene))
    return {(solid.shape, solid.colour, solid.motion) for moment in moments for solid in moment.solids}


def test_same_seed_gives_same_scene_and_another_seed_another() -> None:
    assert sample_scene(7, level=3) == sample_scene(7, level=3)
    assert sample_scene(7, level=3) != sample_scene(8, level=3)


def test_levels_have_their_number_of_solids_and_colours_are_distinct() -> None:
    for level, counts in ((1, {1}), (2, {2}), (3, {1, 2, 3})):
        scenes = [sample_scene(seed, level=level) for seed in range(60)]
        assert {len(scene.solids) for scene in scenes} == counts
        for scene in scenes:
            assert len({solid.colour() for solid in scene.solids}) == len(scene.solids)
            assert level == 3 or scene.camera.move in ("static", "pan")


def test_calm_scenes_with_the_same_words_look_the_same() -> None:
    looks: dict[tuple[object, ...], set[object]] = {}
    for seed in range(400):
        scene, usual = (sample_scene(seed, level=1, calm=calm) for calm in (True, False))
        (solid,), (before,) = scene.solids, usual.solids
        words = (solid.shape, solid.size, solid.legs[0].motion, scene.camera.move)
        assert words[:3] == (before.shape, before.size, before.legs[0].motion)
        assert (solid.colour(), scene.ground) == (before.colour(), usual.ground)
        told = solid.legs[0].heading, solid.legs[0].rate > 0
        looks.setdefault((*words, *told), set()).add((solid.radius, solid.legs[0], scene.camera, scene.light))
    assert len(looks) > 20
    assert all(len(look) == 1 for look in looks.values())


def test_everything_in_the_vocabulary_occurs() -> None:
    scenes = [sample_scene(seed, level=3) for seed in range(200)]
    solids = [solid for scene in scenes for solid in scene.solids]
    assert {solid.shape for solid in solids} == set(SHAPES)
    assert {solid.colour() for solid in solids} == set(COLOURS)
    assert {leg.motion for solid in solids for leg in solid.legs} == set(MOTIONS)
    assert {scene.ground for scene in scenes} == set(GROUNDS)
    assert {event.kind for scene in scenes for event in scene.events} == set(EVENTS)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("event", [None, "colour", "motion"])
def test_training_never_shows_what_is_held_out(level: int, event: str | None) -> None:
    for seed in range(150):
        scene = sample_scene(seed, level=level, event=event)
        assert not kinds_over_time(scene) & held_out.combinations()


def test_held_out_scenes_begin_with_a_held_out_combination() -> None:
    for level in (1, 2, 3):
        for seed in range(30):
            moment = state(sample_scene(seed, level=level, split="held_out"))
            kinds = {(solid.shape, solid.colour, solid.motion) for solid in moment.solids}
            assert kinds & held_out.combinations()


@pytest.mark.parametrize("event", ["colour", "motion"])
def test_event_changes_one_attribute_of_one_solid_and_nothing_before_it(event: str) -> None:
    for seed in range(30):
        plain = sample_scene(seed, level=2)
        scene = sample_scene(seed, level=2, event=event, event_at=3.0)
        assert state(scene, 2.99) == state(plain, 2.99)
        pairs = list(zip(state(plain, 3.0).solids, state(scene, 3.0).solids, strict=True))
        changed = [(old, new) for old, new in pairs if (old.colour, old.motion) != (new.colour, new.motion)]
        assert len(changed) == 1
        assert (changed[0][0].colour == changed[0][1].colour) == (event == "motion")


def test_unknown_level_split_and_event_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="level 4 is not known; use one of 1, 2, 3"):
        sample_scene(0, level=4)
    with pytest.raises(UserError, match="use one of train, held_out, any"):
        sample_scene(0, level=1, split="test")
    with pytest.raises(UserError, match="use one of"):
        sample_scene(0, level=1, event="explode")
    with pytest.raises(UserError, match="before the scene begins"):
        sample_scene(0, level=1, event="colour", event_at=-1.0)
