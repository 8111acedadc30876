"""Pixels in, pixels out: lengths, sizes, snapshots, prompts, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from longtake.enhance.denoiser import Prompted
from longtake.enhance.enhancement import Enhancement
from longtake.enhance.levels import CLEAN, Level
from longtake.enhance.settings import EnhanceSettings
from longtake.errors import UserError
from longtake.timeline import Cue, Timeline
from tests.enhance.tiny import clip, tiny_enhancer, tiny_spec
from tests.tiny import tiny_pipeline

pytestmark = pytest.mark.filterwarnings("ignore:the enhancer of tiny was trained at")


@pytest.fixture(scope="module")
def enhancer():  # type: ignore[no-untyped-def]
    return tiny_enhancer()


def frames_of(enhancement: Enhancement) -> np.ndarray:
    return np.concatenate([chunk.frames for chunk in enhancement])


def settings(mode: str = "live", **changes: Any) -> EnhanceSettings:
    return EnhanceSettings(mode=mode, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["live", "exact"])
def test_as_many_frames_come_out_as_went_in(enhancer, mode: str) -> None:  # type: ignore[no-untyped-def]
    """From the shortest clip that fills a window of 3 latent frames to three windows of 2 new ones."""
    for count in range(6, 28):
        made = enhancer.stream(clip(count), "a red sphere", fps=8, settings=settings(mode, steps=1))
        chunks = list(made)
        assert sum(len(chunk.frames) for chunk in chunks) == count
        starts = np.cumsum([0, *(len(chunk.frames) for chunk in chunks)])
        assert [chunk.start_frame for chunk in chunks] == starts[:-1].tolist()
        assert {chunk.frames.shape[1:] for chunk in chunks} == {(32, 32, 3)}


def test_what_is_given_piece_by_piece_changes_nothing(enhancer) -> None:  # type: ignore[no-untyped-def]
    video = clip(22)
    whole = frames_of(enhancer.stream(video, "a red sphere", fps=8, seed=4))
    pieces = frames_of(
        enhancer.stream([video[:3], video[3:4], *video[4:9], video[9:]], "a red sphere", fps=8, seed=4)
    )
    assert np.array_equal(whole, pieces)
    other = frames_of(enhancer.stream(video, "a red sphere", fps=8, seed=5))
    assert not np.array_equal(whole, other)


@pytest.mark.parametrize("mode", ["live", "exact"])
def test_a_restored_enhancement_gives_the_same_bytes(enhancer, mode: str) -> None:  # type: ignore[no-untyped-def]
    video, chosen = clip(40), settings(mode)
    first = enhancer.stream(video, "a red sphere", fps=8, settings=chosen)
    expected = list(first)
    for cut in (1, len(expected) // 2, len(expected) - 1):
        begun = enhancer.stream(video, "a red sphere", fps=8, settings=chosen)
        for _ in range(cut):
            next(begun)
        saved, pulled = begun.snapshot(), begun.pulled
        list(begun)
        rest = (
            video[pulled:] if pulled < len(video) else video[:1]
        )  # nothing more is taken of an ended source
        again = enhancer.stream(rest, "a red sphere", fps=8, settings=chosen)
        again.restore(saved)
        for made, wanted in zip(again, expected[cut:], strict=True):
            assert np.array_equal(made.frames, wanted.frames)
            assert (made.index, made.start_frame) == (wanted.index, wanted.start_frame)


def test_a_snapshot_of_another_enhancement_is_refused(enhancer) -> None:  # type: ignore[no-untyped-def]
    saved = enhancer.stream(clip(9), "a red sphere", fps=8).snapshot()
    with pytest.raises(UserError, match="another mode, window, size"):
        enhancer.stream(clip(9), "a red sphere", fps=8, settings=settings("exact")).restore(saved)


def test_the_delay_is_said_in_frames_and_seconds(enhancer) -> None:  # type: ignore[no-untyped-def]
    for mode, latents in (("live", 3), ("exact", 3 + 2)):
        pulled = iter(clip(60))
        made = enhancer.stream(pulled, "a red sphere", fps=8, settings=settings(mode))
        assert made.delay_frames == 1 + 4 * (latents - 1)
        assert made.delay_seconds == made.delay_frames / 8
        next(made)
        assert made.pulled == made.delay_frames


def test_a_running_take_can_be_enhanced(enhancer) -> None:  # type: ignore[no-untyped-def]
    pipe = tiny_pipeline()
    take = pipe.stream("a red sphere", seed=1, num_frames=21)
    made = frames_of(enhancer.stream(take, "a red sphere", fps=pipe.fps, settings=settings(steps=1)))
    given = np.concatenate([chunk.frames for chunk in pipe.stream("a red sphere", seed=1, num_frames=21)])
    assert made.shape == (21, 32, 64, 3)
    assert np.array_equal(
        made, frames_of(enhancer.stream(given, "a red sphere", fps=8, settings=settings(steps=1)))
    )


def test_prompt_strength_and_blending_matter(enhancer) -> None:  # type: ignore[no-untyped-def]
    video = clip(22)
    base = frames_of(enhancer.stream(video, "a red sphere", fps=8))
    for changed in (
        settings(strength=0.3),
        settings(blending="naive"),
        settings(steps=3),
        settings(kernel="bicubic"),
    ):
        assert not np.array_equal(
            base, frames_of(enhancer.stream(video, "a red sphere", fps=8, settings=changed))
        )
    assert not np.array_equal(base, frames_of(enhancer.stream(video, "a blue cube", fps=8)))


def test_a_window_is_made_under_the_prompt_in_force_at_its_middle() -> None:
    class Echo:
        patch = 1

        def read(self, prompt: str) -> str:
            return prompt

        def clean(self, x: torch.Tensor, level: Level, text: str) -> torch.Tensor:
            return torch.full_like(x, len(text))

    prompted = Prompted(Echo(), [(0.0, "a"), (4.0, "bb")], seconds_a_latent=0.5)
    assert [prompted.prompt(range(start, start + 6)) for start in (0, 4, 5, 9)] == ["a", "a", "bb", "bb"]
    assert prompted(torch.zeros(1, 1, 6, 1, 1), CLEAN, range(9, 15)).unique().tolist() == [2.0]


def test_a_timeline_without_seconds_is_refused(enhancer) -> None:  # type: ignore[no-untyped-def]
    timeline = Timeline(cues=(Cue(prompt="a", at=0.0), Cue(prompt="b", at_chunk=2)))
    with pytest.raises(UserError, match="give them `at` seconds"):
        enhancer.stream(clip(9), timeline, fps=8)


@pytest.mark.parametrize(
    ("video", "changes", "says"),
    [
        (clip(5), {}, "has 5 frames, and a window of the enhancer needs 6"),
        (
            clip(9, side=20),
            {},
            "40x40 .2 times 20x20. cannot be made .* give the size 48x48|give the size 32x32",
        ),
        (clip(9), {"window": 1, "overlap": 1}, "window 1 is not longer than its overlap 1"),
        (clip(9), {"strength": 1.2}, "strength 1.2 is out of range"),
        (clip(9), {"steps": 0}, "steps 0 given"),
        (clip(9), {"blending": "linear"}, "blending 'linear' is unknown"),
        (clip(0), {}, "the video has no frames"),
    ],
)
def test_what_does_not_fit_is_refused(
    enhancer, video: np.ndarray, changes: dict[str, Any], says: str
) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=says):
        list(enhancer.stream(video, "a red sphere", fps=8, settings=settings(**changes)))


def test_a_strength_that_it_was_not_trained_for_warns() -> None:
    with pytest.warns(UserWarning, match="trained for strengths from 0.2 to 0.5; 0.9 may"):
        EnhanceSettings(strength=0.9).levels(tiny_spec(strengths=[0.2, 0.5], strength=0.4))
    with pytest.raises(UserError, match="mode 'fast' is unknown"):
        settings("fast")
