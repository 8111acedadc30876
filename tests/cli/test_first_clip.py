"""`generate --first-clip` with a tiny model: the user's own video, or what another model makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from longtake.media import FragmentedMp4Writer, VideoFormat, read_video
from longtake.models import first_clip

PROMPT = "a red sphere rolls"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with FragmentedMp4Writer(path, VideoFormat(width=32, height=16, fps=8)) as writer:
        writer.write(np.random.default_rng(0).integers(0, 255, (20, 16, 32, 3), np.uint8))
    return path


def test_the_take_begins_with_the_clips_end(run, tiny: Path, clip: Path) -> None:
    options = ("--frames", 29, "--model", tiny, "--seed", 3, "--quiet", "--json")
    outcome = run("generate", PROMPT, *options, "--first-clip", clip)
    assert (outcome.code, outcome.stderr) == (0, "")
    summary = json.loads(outcome.stdout)
    assert summary["frames"] == 29
    assert len(read_video("take.mp4")[0]) == 29


def test_it_is_recorded_with_the_clip(run, tiny: Path, clip: Path) -> None:
    options = ("--frames", 29, "--model", tiny, "--seed", 3, "--quiet", "--json")
    outcome = run("generate", PROMPT, *options, "--first-clip", clip)
    take_id = json.loads(outcome.stdout)["take_id"]
    clip.unlink()
    outcome = run("takes", "replay", take_id, "--verify")
    assert outcome.code == 0, outcome.stderr
    outcome = run("takes", "branch", take_id, "--at", "2", "--prompt", "a blue cube", "--quiet")
    assert outcome.code == 0, outcome.stderr
    assert len(read_video("branch.mp4")[0]) == 29


def test_another_model_may_make_it(run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    class Source:
        def make(self, prompt: str, *, seed: int) -> np.ndarray:
            asked.append((prompt, seed))
            return np.full((9, 20, 40, 3), 90, np.uint8)

    def opened(kind: str, folder: Path, image: object = None) -> Source:
        asked.append((kind, folder, image))
        return Source()

    monkeypatch.setattr("longtake.cli.first_clip.open_first_clip", opened)
    options = ("--frames", 17, "--model", tiny, "--seed", 3, "--quiet")
    outcome = run("generate", PROMPT, *options, "--first-clip", "modelscope:models/ms")
    assert outcome.code == 0, outcome.stderr
    assert asked == [("modelscope", Path("models/ms"), None), (PROMPT, 3)]
    assert len(read_video("take.mp4")[0]) == 17


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--first-clip", "absent.mp4"), "absent.mp4 cannot be read"),
        (("--first-clip", "clip.mp4", "--video", "clip.mp4"), "give one of them"),
        (("--first-clip", "clip.mp4", "--image", "a.png"), "give one of them"),
        (("--first-clip", "svd:here"), "needs a picture; give an image"),
        (("--first-clip", "modelscope:here"), "model_index.json is missing"),
    ],
)
def test_what_cannot_be_is_one_line(run, tiny: Path, clip: Path, options, message: str) -> None:
    outcome = run("generate", PROMPT, "--model", tiny, "--quiet", *options)
    assert outcome.code == 2
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert first_clip.KINDS == ("modelscope", "animatediff", "svd")
