"""Settings of a take that change or outgrow what a checkpoint was made for."""

from __future__ import annotations

import warnings

import pytest

from longtake import Settings, UserError
from tests.tiny import tiny_pipeline


def test_a_take_follows_a_forced_window() -> None:
    pipe = tiny_pipeline()
    with pytest.raises(UserError, match="window 4: 'tiny' was made for 6"):
        pipe.stream("a red sphere", settings=Settings(window=4))
    own, forced = (
        [chunk.frames for chunk in pipe.stream("a red sphere", seed=1, num_frames=25, settings=settings)]
        for settings in (Settings(), Settings(window=4, force=True))
    )
    same = [bool((a == b).all()) for a, b in zip(own, forced, strict=True)]
    assert same[:2] == [True, True]
    assert not all(same)


def test_a_take_longer_than_the_training_clips_is_warned_of() -> None:
    pipe = tiny_pipeline(trained=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.stream("a red sphere", num_frames=13)
    for num_frames in (14, None):
        with pytest.warns(UserWarning, match="trained on 13 frames"):
            pipe.stream("a red sphere", num_frames=num_frames)
