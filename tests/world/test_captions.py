"""Captions say what is there, in words that are listed, and change only where the scene changes."""

from __future__ import annotations

import pytest

from longtake.errors import UserError
from longtake.world import held_out
from longtake.world.captions import caption, caption_segments, event_phrase, template_of
from longtake.world.edit import edit, remove
from longtake.world.events import Event, change_colour
from longtake.world.scene import Scene, sample_scene
from longtake.world.vocabulary import LEVELS, SPLITS, words
from longtake.world.wording import FINITE, GERUND, GROUND, split
from tests.world.scenes import alone, passing

LONGEST = 60
"""Tokens that leave room for the end token in a text encoder of 64."""


def scenes(level: int, count: int = 60) -> list[Scene]:
    return [sample_scene(seed, level=level, split="any") for seed in range(count)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("part", SPLITS)
def test_captions_are_of_known_words_and_fit_the_encoder(level: int, part: str) -> None:
    known = {*words(), ","}
    for scene in scenes(level):
        for _, text in caption_segments(scene, split=part):
            tokens = split(text)
            assert set(tokens) <= known
            assert len(tokens) <= LONGEST
            assert text == text.lower()
        for event in scene.events:
            assert set(split(event_phrase(scene, event))) <= known


def test_vocabulary_is_closed_and_small() -> None:
    assert len(words()) <= 150
    assert all(word.isalpha() and word.islower() for word in words())


@pytest.mark.parametrize("level", LEVELS)
def test_captions_say_colour_shape_motion_and_ground_of_everything(level: int) -> None:
    for scene in scenes(level):
        text = caption(scene, split="held_out")
        assert any(ground in text for ground in GROUND[scene.ground])
        for solid in scene.solids:
            if not solid.present(0.0):
                continue
            motion = solid.leg(0.0).motion
            assert f"{solid.colour()} {solid.shape}" in text
            assert any(verb in text for verb in (*FINITE[motion], *GERUND[motion]))


def test_wording_varies_with_its_number_and_not_otherwise() -> None:
    scene = sample_scene(3, level=1)
    assert caption(scene, wording=5) == caption(scene, wording=5)
    assert len({caption(scene, wording=wording) for wording in range(200)}) > 20


@pytest.mark.parametrize("level", LEVELS)
def test_held_out_wordings_are_used_only_when_asked_for(level: int) -> None:
    held = held_out.wordings(level)
    drawn = {part: set() for part in ("train", "held_out")}
    for scene in scenes(level, 20):
        for wording in range(20):
            for part, seen in drawn.items():
                seen.add(template_of(scene, wording, part)[0])
    assert not drawn["train"] & held
    assert drawn["held_out"] == held


@pytest.mark.parametrize("level", [1, 2])
def test_captions_before_and_after_a_colour_event_differ_in_the_colour_alone(level: int) -> None:
    for seed in range(40):
        scene = sample_scene(seed, level=level, event="colour", event_at=3.0)
        (_, before), (_, after) = caption_segments(scene)
        solid = scene.solids[scene.events[0].solid]
        old, new = solid.colour(0.0), solid.colour(3.0)
        differ = [(a, b) for a, b in zip(split(before), split(after), strict=True) if a != b]
        assert (old, new) in differ
        assert set(differ) <= {(old, new), ("a", "an"), ("an", "a")}


def test_captions_before_and_after_a_motion_event_name_the_same_solids_and_ground() -> None:
    for seed in range(40):
        scene = sample_scene(seed, level=2, event="motion", event_at=3.0)
        (_, before), (_, after) = caption_segments(scene)
        for text in (before, after):
            assert all(f"{solid.colour()} {solid.shape}" in text for solid in scene.solids)
        other = scene.solids[1 - scene.events[0].solid]
        motion = other.leg(0.0).motion
        if motion not in {leg.motion for leg in scene.solids[scene.events[0].solid].legs}:
            verbs = (*FINITE[motion], *GERUND[motion])
            assert [verb for verb in verbs if verb in before] == [verb for verb in verbs if verb in after]


def test_the_example_prompts_are_captions() -> None:
    wanted = "a red sphere rolls to the right past a blue cube on a wooden floor"
    rightward = next(scene for scene in map(passing, range(20)) if "right" in caption(scene))
    assert wanted in {caption(rightward, wording=wording) for wording in range(4000)}
    scene = alone("sphere", "red", "roll")
    turned = change_colour(scene.solids[0], 2.0, "blue")
    event = Event(kind="colour", at=2.0, solid=0)
    changed = Scene(solids=(turned,), ground="wooden", events=(event,))
    assert "the red sphere turns blue" in {event_phrase(changed, event, wording) for wording in range(20)}
    assert "blue sphere" in caption(changed, seconds=2.0)


def test_edited_scenes_have_captions_whatever_their_number_of_solids() -> None:
    scene = sample_scene(0, level=2)
    assert scene.solids[1].colour() in caption(remove(scene, 0))
    assert "sand" in split(caption(edit(scene, ground="sand")))
    with pytest.raises(UserError, match="no solid"):
        caption(remove(remove(scene, 0), 0))
