"""Narrative adherence from windows whose content is known, from CLIP, and from toybox itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from longtake.measure.narrative import Look, tell
from longtake.measure.story import stories
from longtake.measure.video.beats import Beats
from longtake.timeline import Cue, Timeline
from longtake.world.state import state

BEGINS = (0.0, 6.0, 12.0)


def look(start: float, beat: int, kept: bool | None = None) -> Look:
    return Look(start=start, end=start + 2, beats=tuple(i == beat for i in range(3)), kept=kept)


def test_a_story_told_well() -> None:
    told = tell(BEGINS, 18, [look(0, 0), look(7, 1, True), look(13, 2, True)])
    assert (told.seen, told.on_time, told.in_order, told.kept, told.adherence) == (1, 1, 1, 1, 1)


def test_a_beat_that_comes_late_is_seen_but_not_on_time() -> None:
    told = tell(BEGINS, 18, [look(0, 0), look(9.5, 1, True), look(13, 2, True)])
    assert (told.seen, told.on_time, told.adherence) == (1, pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_a_window_across_a_cue_does_not_count() -> None:
    told = tell(BEGINS, 18, [look(0, 0), look(5, 1), look(13, 2)])
    assert told.seen == pytest.approx(2 / 3)


def test_beats_out_of_order() -> None:
    told = tell(BEGINS, 18, [look(0, 2), look(7, 1), look(13, 0)])
    assert told.in_order == pytest.approx(1 / 3)
    assert told.seen == pytest.approx(1 / 3)


def test_a_beat_that_changes_what_it_should_leave_alone_does_not_adhere() -> None:
    told = tell(BEGINS, 18, [look(0, 0), look(7, 1, False), look(13, 2, True)])
    assert (told.seen, told.kept, told.adherence) == (1, 0.5, pytest.approx(2 / 3))


def test_nothing_shown_is_nothing_seen() -> None:
    told = tell(BEGINS, 18, [])
    assert (told.seen, told.in_order, told.kept, told.adherence) == (0, 0, None, 0)


def test_stories_change_one_thing_a_beat_and_are_the_same_every_time() -> None:
    for story, again in zip(stories(6, 4, 6.0), stories(6, 4, 6.0), strict=True):
        assert story == again
        solids = [state(scene).solids[0] for scene in story.beats]
        for one, two in pairwise(solids):
            assert (one.colour != two.colour) + (one.motion != two.motion) == 1
            assert one.shape == two.shape
        assert len(story.timeline.cues) == 4


class Colours:
    """Sees the mean colour; a prompt names one."""

    name, figure = "colours", "clip_score"
    known = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}

    def image(self, frame: np.ndarray) -> np.ndarray:
        mean = frame.reshape(-1, 3).mean(0).astype(np.float32)
        return mean / np.linalg.norm(mean)

    def text(self, prompt: str) -> np.ndarray:
        return np.array(self.known[prompt], np.float32)


@pytest.mark.parametrize(("order", "seen"), [("rgb", 1.0), ("rrb", 2 / 3), ("bgr", 1 / 3)])
def test_beats_by_clip(order: str, seen: float) -> None:
    story = Timeline(
        cues=tuple(Cue(prompt=name, at=at) for name, at in zip(Colours.known, (0.0, 2.0, 4.0), strict=True))
    )
    meter = Beats(Colours(), story, fps=4)
    for letter in order:
        frame = np.full((4, 4, 3), 10, np.uint8)
        frame[..., "rgb".index(letter)] = 240
        for _ in range(8):
            meter.add(frame)
    found = meter.finish()
    assert found.values["beats_seen"] == pytest.approx(seen)
    assert found.values["beats_in_order"] == pytest.approx(seen)


def test_without_clip_the_figures_say_why() -> None:
    meter = Beats(None, Timeline.from_prompt("a"), fps=4)
    meter.add(np.zeros((2, 2, 3), np.uint8))
    found = meter.finish()
    assert found.values["beats_adherence"] is None
    assert "CLIP" in found.notes["beats_adherence"]
