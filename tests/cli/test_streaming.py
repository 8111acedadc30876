"""`longtake generate` with StreamingT2V, from a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtake.media import read_video
from tests.tiny_streaming import streaming_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return streaming_folder(tmp_path_factory.mktemp("streaming"))


def test_a_folder_generates_and_its_memories_can_be_switched_off(run, model: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    videos = []
    for name, options in {"both": (), "none": ("--no-apm", "--no-cam"), "other": ("--anchor", "1+2")}.items():
        out = tmp_path / f"{name}.mp4"
        outcome = run(
            "generate",
            "a red sphere",
            "--model",
            str(model),
            "--frames",
            "8",
            "--seed",
            "3",
            "--out",
            str(out),
            *options,
        )
        assert outcome.code == 0, outcome
        videos.append(read_video(out)[0])
    assert [len(frames) for frames in videos] == [8, 8, 8]
    both, none, other = videos
    assert not np.array_equal(both[4:], none[4:])
    assert not np.array_equal(both[4:], other[4:])


def test_an_anchor_outside_of_the_video_is_refused(run, model: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome = run(
        "generate",
        "a red sphere",
        "--model",
        str(model),
        "--frames",
        "8",
        "--anchor",
        "9",
        "--out",
        str(tmp_path / "a.mp4"),
    )
    assert outcome.code == 2
    assert "anchor frame 9 is outside of the video" in outcome.stderr
