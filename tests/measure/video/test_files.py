"""Evaluating files: real ones of many kinds, and what is no video at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from longtake.cli import main
from longtake.measure.video.evaluate import Evaluation, Tools, evaluate
from longtake.measure.video.flow import choose_flow
from longtake.measure.video.pictures import MOST_COLUMNS, MOST_THUMBS, Pictures
from longtake.measure.video.source import VideoFile
from longtake.media import FragmentedMp4Writer, VideoFormat

RNG = np.random.default_rng(3)


def clip(frames: int = 12, height: int = 48, width: int = 64) -> np.ndarray:
    """Coloured squares that move over a gradient."""
    y, x = np.mgrid[:height, :width]
    ground = np.stack([x * 2, y * 3, np.full_like(x, 90)], -1).clip(0, 255).astype(np.uint8)
    made = np.repeat(ground[None], frames, 0)
    for index, frame in enumerate(made):
        frame[10:26, 4 + 2 * index : 20 + 2 * index] = (220, 40, 30)
    return made


def write(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264",
    form: str = "yuv420p",
    times: Sequence[int] = (),
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], form
        stream.time_base = Fraction(1, 1000)
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
            frame.pts = times[index] if times else index * 125
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def measured(path: Path, **options: object) -> Evaluation:
    return evaluate(path, tools=Tools(flow=None), **options)  # type: ignore[arg-type]


def test_a_plain_file_has_every_figure_in_strict_json(tmp_path: Path) -> None:
    found = evaluate(
        write(tmp_path / "a.mp4", clip()), tools=Tools(flow=choose_flow("dis")), prompt="a red square"
    )
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (values["frames"], values["fps"], values["width"], values["height"]) == (12, 8.0, 64, 48)
    for name in ("mawe_reference", "mawe_paper", "warp_error", "flow_mean", "flicker", "still_share"):
        assert isinstance(values[name], float), name
    assert values["cuts"] == 0
    assert values["flow_backend"].startswith("DIS")
    assert values["clip_score"] is None
    assert values["notes"]["clip_score"] == "no CLIP model was given"


def test_the_same_file_twice_gives_the_same_numbers(tmp_path: Path) -> None:
    path, tools = write(tmp_path / "a.mp4", clip()), Tools(flow=choose_flow("dis"))
    assert evaluate(path, tools=tools).to_dict() == evaluate(path, tools=tools).to_dict()


def test_without_flow_its_figures_are_left_out_and_say_so(tmp_path: Path) -> None:
    values = measured(write(tmp_path / "a.mp4", clip())).to_dict()
    assert values["mawe_paper"] is None
    assert values["notes"]["mawe_paper"] == "left out: no flow was asked for"


def test_the_chunks_of_a_take_are_known_from_its_file(tmp_path: Path) -> None:
    with FragmentedMp4Writer(tmp_path / "take.mp4", VideoFormat(width=64, height=48, fps=8)) as writer:
        for part in np.split(clip(33), [9, 21]):
            writer.write(part)
    video = VideoFile.open(tmp_path / "take.mp4")
    list(video.frames())
    assert video.joins() == [9, 21]
    assert measured(tmp_path / "take.mp4").finding.values["join_ratio"] is not None


def test_joins_of_a_foreign_file_are_unknown_unless_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", clip(40))
    assert measured(path).finding.values["join_ratio"] is None
    assert measured(path, joins=[12, 24]).finding.values["join_ratio"] is not None


def test_one_frame_is_measured_as_far_as_it_goes(tmp_path: Path) -> None:
    values = evaluate(write(tmp_path / "a.mp4", clip(1)), tools=Tools(flow=choose_flow("dis"))).to_dict()
    assert values["frames"] == 1
    for name in ("mawe_paper", "flow_mean", "still_share", "flicker", "drift_colour"):
        assert values[name] is None
        assert values["notes"][name]


@pytest.mark.parametrize(
    ("name", "codec", "form", "remark"),
    [
        ("ten.mkv", "ffv1", "yuv420p10le", "8 bits"),
        ("alpha.mkv", "ffv1", "bgra", "transparency"),
        ("odd.mkv", "ffv1", "yuv444p", None),
    ],
)
def test_unusual_pixels_are_read_and_named(
    name: str, codec: str, form: str, remark: str | None, tmp_path: Path
) -> None:
    frames = clip(5, 47, 61)
    if "a" in form.removeprefix("yuv"):
        frames = np.concatenate([frames, np.full((*frames.shape[:3], 1), 128, np.uint8)], -1)
    found = measured(write(tmp_path / name, frames, codec=codec, form=form))
    assert found.frames == 5
    assert any(remark in each for each in found.remarks) if remark else not found.remarks


def test_a_variable_frame_rate_is_named(tmp_path: Path) -> None:
    times = [0, 40, 300, 310, 900, 1000]
    found = measured(write(tmp_path / "a.mkv", clip(6), codec="ffv1", form="yuv444p", times=times))
    assert found.frames == 6
    assert any("variable frame rate" in remark for remark in found.remarks)


def test_a_file_that_breaks_off_is_measured_up_to_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", RNG.integers(0, 256, (12, 48, 64, 3), dtype=np.uint8), codec="mpeg4")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found = measured(path)
    assert 1 <= found.frames < 12


def silent_refusals(folder: Path) -> Iterator[tuple[Path, str]]:
    (folder / "text.mp4").write_text("this is not a video")
    yield folder / "text.mp4", "cannot be read as video"
    (folder / "empty.mp4").write_bytes(b"")
    yield folder / "empty.mp4", "cannot be read as video"
    with av.open(str(folder / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    yield folder / "sound.mkv", "only sound"
    yield folder / "missing.mp4", "does not exist"
    (folder / "none").mkdir()
    yield folder / "none", "no video files"


def test_what_is_no_video_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, why in silent_refusals(tmp_path):
        assert main(["eval", str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert why in err
        assert str(path) in err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--flow", "farneback"], "auto, dis, raft"),
        (["--flow", "raft"], "torchvision"),
        (["--clip", "nowhere"], "no CLIP model"),
        (["--prompt", "a", "--prompts", "b"], "use one"),
        (["--prompts", "b"], "use --prompt"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    options: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.mp4", clip(3))
    assert main(["eval", str(path), *options]) == 2
    assert why in capsys.readouterr().err


def test_a_folder_with_prompts_becomes_a_list_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.mp4", "two.mp4"):
        write(tmp_path / name, clip())
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red square\n\na <b>bold</b> square\n")
    report = tmp_path / "report.html"
    options = ["--prompts", str(prompts), "--report", str(report), "--flow", "none", "--json"]
    assert main(["eval", str(tmp_path), *options]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [each["prompt"] for each in values] == ["a red square", "a <b>bold</b> square"]
    page = report.read_text()
    assert "a &lt;b&gt;bold&lt;/b&gt; square" in page
    assert page.count("<article>") == 2
    assert "http" not in page.replace("http://www.w3.org", "")
    prompts.write_text("only one\n")
    assert main(["eval", str(tmp_path), "--prompts", str(prompts)]) == 2
    assert "1 prompts for 2 videos" in capsys.readouterr().err


def test_pictures_keep_the_whole_length_in_bounded_memory() -> None:
    pictures = Pictures()
    for index in range(5000):
        pictures.add(np.full((2, 3, 3), index % 251, np.uint8))
    sheet, piece = pictures.sheet(), pictures.slice()
    assert len(pictures.frames) == MOST_THUMBS
    assert pictures.frames[0] == 0
    assert pictures.frames[-1] > 4500
    assert sheet.shape[1] == 160 * MOST_THUMBS
    assert MOST_COLUMNS < piece.shape[1] <= 2 * MOST_COLUMNS
