"""`longtake extend` from end to end with a tiny model, and `generate --method`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from longtake.media import FragmentedMp4Writer, VideoFormat, read_video
from tests.tiny import tiny_folder, tiny_memories, tiny_pipeline

PROMPT = "a red sphere rolls"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """40 frames at twice the model's rate: 20 of its own."""
    return write(tmp_path / "clip.mp4", 40)


def write(path: Path, count: int, fps: int = 16) -> Path:
    frames = np.random.default_rng(2).integers(0, 255, (count, 1, 1, 3), np.uint8).repeat(48, 1).repeat(64, 2)
    with FragmentedMp4Writer(path, VideoFormat(width=64, height=48, fps=fps)) as writer:
        writer.write(frames)
    return path


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model with both memories."""
    pipe = tiny_pipeline()
    pipe.memories = tiny_memories(pipe)
    return tiny_folder(tmp_path_factory.mktemp("remembering"), pipe)


def test_the_video_comes_first_and_what_happens_next_follows(run, tiny: Path, clip: Path) -> None:
    outcome = run("extend", clip, PROMPT, "--seconds", 2, "--model", tiny, "--json", "--quiet", "--seed", 4)
    assert (outcome.code, outcome.stderr) == (0, "")
    summary = json.loads(outcome.stdout)
    video, fps = read_video("extended.mp4")
    assert (video.shape, fps) == ((36, 16, 32, 3), 8)
    known = {"frames": 36, "frames_given": 20, "frames_new": 16, "frames_looked_back_on": 13, "seed": 4}
    assert summary | known == summary
    assert summary["inputs"] == ["video: 64x48, scaled and cut to 32x16"]
    given = read_video(clip)[0][::2, 24, 32].astype(int)
    assert np.abs(video[:20, 8, 16] - given).mean() < 12


def test_the_same_seed_goes_on_alike_and_the_video_can_be_left_out(run, tiny: Path, clip: Path) -> None:
    options = ("--seconds", 1.3, "--model", tiny, "--seed", 4, "--quiet", "--no-provenance")
    run("extend", clip, PROMPT, *options, "--out", "a.mp4", "--only-new")
    run("extend", clip, PROMPT, *options, "--out", "b.mp4", "--only-new")
    assert Path("a.mp4").read_bytes() == Path("b.mp4").read_bytes()
    assert len(read_video("a.mp4")[0]) == 10


def test_its_take_is_recorded_from_the_last_frames_of_the_video_on(run, tiny: Path, clip: Path) -> None:
    options = ("--seconds", 2, "--model", tiny, "--seed", 4, "--quiet", "--no-provenance")
    summary = json.loads(run("extend", clip, PROMPT, *options, "--json", "--only-new").stdout)
    id = summary["take_id"]
    [take] = [take for take in json.loads(run("takes", "list", "--json").stdout) if take["id"] == id]
    assert (take["frames"], take["status"]) == (13 + 16, "finished")
    assert run("takes", "replay", id, "--verify").code == 0
    run("takes", "export", id, "--out", "export.mp4")
    assert read_video("export.mp4")[0].shape == (29, 16, 32, 3)
    unrecorded = run(
        "extend", clip, PROMPT, *options, "--no-journal", "--out", "b.mp4", "--only-new", "--json"
    )
    assert json.loads(unrecorded.stdout)["take_id"] is None
    assert Path("b.mp4").read_bytes() == Path("extended.mp4").read_bytes()


def test_it_goes_on_as_streamingt2v_when_asked(run, remembering: Path, clip: Path) -> None:
    options = ("--seconds", 2, "--model", remembering, "--quiet", "--json")
    outcome = run("extend", clip, PROMPT, *options, "--method", "streamingt2v")
    assert outcome.code == 0, outcome.stderr
    summary = json.loads(outcome.stdout)
    assert (summary["method"], summary["frames_looked_back_on"]) == ("streamingt2v", 17)
    assert summary["frames"] == 36


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "other"), "method 'other' is unknown; known: streamingt2v"),
        (("--method", "streamingt2v"), "no short-term memory (cam/"),
        (("--seconds", "0"), "--seconds 0 is not a length"),
        (("--size", "36x16"), "cannot be made by 'tiny'"),
        (("--out", "clip.mp4"), "is the video itself"),
        (("--out", "other.txt"), "only MP4 is written"),
        (("--model", "wan2.1-t2v-1.3b"), "cannot go on from a clip"),
    ],
)
def test_what_cannot_be_is_one_line(run, tiny: Path, clip: Path, options, message: str) -> None:
    model = () if "--model" in options else ("--model", tiny)
    outcome = run("extend", clip, PROMPT, *model, *options, "--quiet")
    assert outcome.code == 2
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not Path("extended.mp4").exists()


def test_videos_that_are_none_or_too_short_are_one_line(run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    short = write(tmp_path / "short.mp4", 3, fps=8)
    for video, message in (
        ("absent.mp4", "absent.mp4 cannot be read"),
        ("notes.mp4", "notes.mp4 cannot be read"),
        (
            short,
            "the clip to go on from has 3 frames at the model's frame rate, it needs 5; give a longer one",
        ),
    ):
        outcome = run("extend", video, PROMPT, "--model", tiny, "--quiet")
        assert outcome.code == 2
        assert message in outcome.stderr
        assert outcome.stderr.count("\n") == 1
        assert not Path("extended.mp4").exists()


def test_generate_streams_as_streamingt2v_when_asked_and_its_take_is_resumed_so(
    run, remembering: Path
) -> None:
    options = ("--model", remembering, "--method", "streamingt2v", "--seed", 3, "--quiet")
    outcome = run("generate", PROMPT, *options, "--frames", 33, "--json")
    assert outcome.code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["chunks"] == 3
    again = run("generate", PROMPT, *options, "--frames", 33, "--no-apm", "--out", "b.mp4")
    assert again.code == 0, again.stderr
    assert not np.array_equal(read_video("take.mp4")[0], read_video("b.mp4")[0])


def test_generate_refuses_a_method_before_it_loads(run, tiny: Path) -> None:
    outcome = run("generate", PROMPT, "--model", tiny, "--method", "other", "--frames", 9, "--quiet")
    assert (outcome.code, "method 'other' is unknown" in outcome.stderr) == (2, True)
