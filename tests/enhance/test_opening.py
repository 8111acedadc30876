"""From a model's folder to its enhancer, in Python and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import longtake
from longtake.cli import main
from longtake.enhance.enhancer import Enhancer
from longtake.enhance.opening import find_enhancer
from longtake.enhance.spec import read_spec
from longtake.errors import UserError
from longtake.media import FragmentedMp4Writer, VideoFormat, read_video
from longtake.pipeline import Pipeline
from tests.enhance.tiny import clip, tiny_enhancer_folder
from tests.tiny import tiny_folder

SPECS = Path(longtake.__file__).parent / "enhance" / "specs"
pytestmark = pytest.mark.filterwarnings("ignore:the enhancer of tiny was trained at")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_folder(tmp_path_factory.mktemp("model"))
    tiny_enhancer_folder(folder)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with FragmentedMp4Writer(path, VideoFormat(width=16, height=16, fps=8)) as writer:
        writer.write(clip(21))
    return path


def test_a_pipeline_shares_its_codec_and_words_with_its_enhancer(model: Path) -> None:
    pipe = Pipeline.from_pretrained(model)
    chunks = list(pipe.enhance(pipe.stream("a red sphere", seed=1, num_frames=13), "a red sphere", seed=2))
    assert np.concatenate([chunk.frames for chunk in chunks]).shape == (13, 32, 64, 3)
    assert pipe.enhancer.codec is pipe.codec
    alone = Enhancer.from_pretrained(model).stream(
        pipe.stream("a red sphere", seed=1, num_frames=13), "a red sphere", fps=8, seed=2
    )
    for one, other in zip(chunks, alone, strict=True):
        assert np.array_equal(one.frames, other.frames)


def test_a_model_without_an_enhancer_is_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    with pytest.raises(UserError, match="model 'tiny' has no enhancer; give the folder of one"):
        Enhancer.from_pretrained(folder)
    with pytest.raises(UserError, match="model 'self-forcing' has no enhancer"):
        find_enhancer("self-forcing")
    with pytest.raises(UserError, match="unknown model 'nothing'"):
        find_enhancer("nothing")


def test_an_enhancer_is_found_by_its_own_folder_too(model: Path) -> None:
    assert find_enhancer(model) == find_enhancer(model / "enhancer") == model / "enhancer"


def test_published_unets_need_no_spec_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    assert find_enhancer(tmp_path) == tmp_path
    with pytest.raises(UserError, match=r"holds no|cannot be|is missing"):
        Enhancer.from_pretrained(tmp_path)
    shipped = {path.stem: read_spec(path) for path in SPECS.glob("*.yaml")}
    assert shipped["unet"].backbone == "unet"
    assert shipped["refiner"].schedule.kind == "dpm-sde"
    assert {(spec.window, spec.overlap, spec.non_commercial) for spec in shipped.values()} == {(24, 8, True)}


def test_a_wrong_field_names_file_and_field(tmp_path: Path) -> None:
    folder = tiny_enhancer_folder(tiny_folder(tmp_path), steps=0)
    with pytest.raises(UserError, match=r"enhancer.yaml: steps: "):
        Enhancer.from_pretrained(folder)


def test_the_command_writes_a_larger_video(
    model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "large.mp4"
    args = ["enhance", str(video), "a red sphere", "--model", str(model), "--out", str(out), "--json", "-q"]
    assert main(args) == 0
    frames, fps = read_video(out)
    assert frames.shape == (21, 32, 32, 3)
    assert fps == 8
    summary = json.loads(capsys.readouterr().out)
    assert summary["mode"] == "exact"
    assert summary["delay_s"] == (1 + 4 * 4) / 8  # window 3, then a stride of 2 for the second step
    assert main(args) == 2
    assert "exists; give another name, or --force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--window", "2", "--overlap", "2"], "window 2 is not longer than its overlap 2"),
        (["--window", "9"], "has 21 frames, and a window of the enhancer needs 30"),
        (["--size", "40x40"], "both sides must be multiples of 16"),
        (["--size", "large"], "--size 'large' is not a size"),
        (["--mode", "fast"], "mode 'fast' is unknown; use one of live, exact"),
        (["--blending", "linear"], "blending 'linear' is unknown; use one of naive, shared"),
        (["--strength", "0"], "strength 0 is out of range"),
        (["--seed", "-1"], "--seed -1 is out of range"),
        (["--model", "self-forcing"], "model 'self-forcing' has no enhancer"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    options: list[str],
    says: str,
    model: Path,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "large.mp4"
    args = ["enhance", str(video), "a red sphere", "--model", str(model), "--out", str(out), "-q", *options]
    assert main(args) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert says in error
    assert not out.exists()


def test_generate_enhances_on_the_way_into_the_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path / "home"))
    out = tmp_path / "take.mp4"
    args = ["generate", "a red sphere", "--model", str(model), "--frames", "13", "--seed", "1", "--enhance"]
    assert main([*args, "--out", str(out), "--json", "-q", "--no-provenance"]) == 0
    frames, _ = read_video(out)
    assert frames.shape == (13, 32, 64, 3)
    summary = json.loads(capsys.readouterr().out)
    assert (summary["width"], summary["native_width"], summary["frames"]) == (64, 32, 13)
    assert [receipt["status"] for receipt in summary["receipts"]] == ["accepted"]
    assert summary["journal_seconds_p50"] > 0
    assert main(["takes", "export", summary["take_id"], "--out", str(tmp_path / "before.mp4")]) == 0
    assert read_video(tmp_path / "before.mp4")[0].shape == (13, 16, 32, 3)


def test_generate_refuses_to_enhance_without_an_enhancer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_folder(tmp_path / "model")
    args = [
        "generate",
        "a red sphere",
        "--model",
        str(folder),
        "--enhance",
        "--out",
        str(tmp_path / "take.mp4"),
    ]
    assert main(args) == 2
    assert "model 'tiny' has no enhancer" in capsys.readouterr().err
