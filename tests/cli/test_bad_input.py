"""Every mistake is one plain line that names the value and what is accepted, exit 2, nothing changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tiny import tiny_folder

PROMPT = "a red sphere rolls"


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["generate"], ["no prompt given", "--storyboard"]),
        (["generate", ""], ["prompt: ''", "describe what is to be seen"]),
        (["generate", " \t"], ["says nothing"]),
        (["generate", "a (red:9) sphere"], ["weight 9 in (red:9) is not between 0 and 4"]),
        (["generate", "a", "red", "sphere"], ["extra argument", "red sphere", "in quotes"]),
        (["generate", PROMPT, "--storyboard", "s.yaml"], ["both a prompt and --storyboard s.yaml"]),
        (["generate", "--storyboard", "none.yaml"], ["none.yaml cannot be read: No such file"]),
        (["generate", PROMPT, "--seconds", "0"], ["--seconds 0", "above 0"]),
        (["generate", PROMPT, "--seconds", "-3"], ["--seconds -3", "above 0"]),
        (["generate", PROMPT, "--seconds", "nan"], ["--seconds nan", "above 0"]),
        (["generate", PROMPT, "--seconds", "inf"], ["--seconds inf", "up to 1000000000"]),
        (["generate", PROMPT, "--seconds", "1e300"], ["--seconds 1e+300", "up to 1000000000"]),
        (["generate", PROMPT, "--seconds", "0.01"], ["--seconds 0.01 is less than one frame", "0.125"]),
        (["generate", PROMPT, "--seconds", "ten"], ["--seconds 'ten'", "give a number"]),
        (["generate", PROMPT, "--seconds"], ["--seconds", "requires an argument"]),
        (["generate", PROMPT, "--frames", "0"], ["--frames 0", "from 1"]),
        (["generate", PROMPT, "--frames", "-5"], ["--frames -5", "from 1"]),
        (["generate", PROMPT, "--frames", "1.5"], ["--frames '1.5'", "whole number"]),
        (["generate", PROMPT, "--frames", "9" * 5000], ["--frames '9999", "…", "whole number"]),
        (["generate", PROMPT, "--frames", "9", "--seconds", "2"], ["both --seconds 2 and --frames 9"]),
        (["generate", PROMPT, "--fps", "24"], ["--fps 24", "tiny makes 8 frames a second"]),
        (["generate", PROMPT, "--fps", "0"], ["--fps 0", "give 8"]),
        (["generate", PROMPT, "--fps", "nan"], ["--fps nan", "give 8"]),
        (["generate", PROMPT, "--fps", "fast"], ["--fps 'fast'", "give a number"]),
        (["generate", PROMPT, "--size", "large"], ["--size 'large'", "32x16"]),
        (["generate", PROMPT, "--size", "0x0"], ["0", "even number"]),
        (["generate", PROMPT, "--size", "33x16"], ["33", "even number"]),
        (["generate", PROMPT, "--size", "-32x16"], ["-32x16"]),
        (["generate", PROMPT, "--size", "999999x16"], ["999999", "4096"]),
        (["generate", PROMPT, "--size", "34x16"], ["34x16", "multiples of 16"]),
        (["generate", PROMPT, "--scale", "0"], ["--scale 0", "from 1"]),
        (["generate", PROMPT, "--scale", "1000"], ["32000", "4096"]),
        (["generate", PROMPT, "--seed", "-1"], ["--seed -1", "from 0 to 9223372036854775807"]),
        (["generate", PROMPT, "--seed", str(2**63)], [str(2**63), "from 0"]),
        (["generate", PROMPT, "--seed", "lucky"], ["--seed 'lucky'", "whole number"]),
        (["generate", PROMPT, "--image", "none.png"], ["image none.png cannot be read: No such file"]),
        (["generate", PROMPT, "--image", "http://a.org/a.png"], ["http://a.org/a.png", "nothing is fetched"]),
        (["generate", PROMPT, "--image", "/dev/zero"], ["/dev/zero is not a file"]),
        (["generate", PROMPT, "--video", "none.mp4"], ["video none.mp4 cannot be read: No such file"]),
        (["generate", PROMPT, "--video", "rtsp://camera/1"], ["rtsp://camera/1", "nothing is fetched"]),
        (["generate", PROMPT, "--video", "."], [". is not a file"]),
        (
            ["generate", PROMPT, "--image", "a.png", "--video", "a.mp4"],
            ["both --image a.png and --video a.mp4"],
        ),
        (["generate", PROMPT, "--strength", "0.5"], ["--strength 0.5 given without --video"]),
        (["generate", PROMPT, "--video", "a.mp4", "--strength", "0"], ["--strength 0", "above 0, up to 1"]),
        (
            ["generate", PROMPT, "--video", "a.mp4", "--strength", "nan"],
            ["--strength nan", "above 0, up to 1"],
        ),
        (["generate", PROMPT, "--secnds", "3"], ["--secnds", "--seconds", "longtake generate --help"]),
        (["generate", PROMPT, "--nope"], ["no such option", "--nope"]),
        (["generat", PROMPT], ["'generat'", "'generate'"]),
        (["--nope"], ["--nope", "longtake --help"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_mistake_is_refused(refused, tiny: Path, args: list[str], parts: list[str]) -> None:
    model = ["--model", tiny] if args[0] == "generate" else []
    line = refused(*args[:1], *model, *args[1:])
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(("option", "name"), [("--image", "a.png"), ("--video", "a.mp4")])
@pytest.mark.parametrize("content", [b"", b"a red sphere", b"\x89PNG\r\n\x1a\n", bytes(3000)])
def test_a_file_that_is_no_picture_is_refused(
    refused, tmp_path: Path, tiny: Path, option: str, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name} cannot be read" in refused("generate", PROMPT, option, name, "--model", tiny)


def test_a_model_that_takes_no_image_names_those_that_do(refused, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "textonly", first_frame=None)
    line = refused("generate", PROMPT, "--image", "a.png", "--model", folder)
    assert "'tiny' takes no image; use" in line
    assert "mini" in line


def test_steps_that_a_distilled_model_does_not_know_are_refused_with_those_that_it_does(
    refused, tmp_path: Path
) -> None:
    few = {"kind": "few-step", "steps": [1000, 500], "also": [[1000]], "shift": 3, "warp": True}
    folder = tiny_folder(tmp_path / "student", sampler=few, guidance_scale=1.0)
    line = refused("generate", PROMPT, "--steps", 3, "--seconds", 1, "--model", folder)
    assert "is distilled to 2 or 1 steps" in line


def test_an_unknown_model_lists_the_known(refused) -> None:
    line = refused("generate", PROMPT, "--model", "maxi")
    assert "'maxi'" in line
    assert "mini" in line


def test_a_broken_storyboard_names_line_and_field(refused, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "story.yaml").write_text(
        "cues:\n  - at: 0\n    prompt: a cube\n  - at: later\n    prompt: a cube\n"
    )
    assert "story.yaml:4: cues[1].at: 'later'" in refused(
        "generate", "--storyboard", "story.yaml", "--model", tiny
    )


@pytest.mark.parametrize(
    ("out", "part"),
    [
        ("there.mp4", "exists; give another name, or --force"),
        ("folder", "is a folder"),
        ("none/take.mp4", "cannot be written: No such file"),
        ("there.mp4/take.mp4", "cannot be written: Not a directory"),
        ("/proc/take.mp4", "cannot be written"),
        ("x" * 300 + ".mp4", "File name too long"),
        ("take.avi", "only MP4 is written"),
        ("take", "only MP4 is written"),
    ],
)
def test_an_output_that_will_not_do_is_refused(
    refused, tmp_path: Path, tiny: Path, out: str, part: str
) -> None:
    (tmp_path / "there.mp4").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    assert part in refused("generate", PROMPT, "--out", out, "--model", tiny)


def test_a_bad_request_keeps_the_file_that_force_would_replace(refused, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "take.mp4").write_bytes(b"mine")
    refused("generate", PROMPT, "--force", "--size", "34x16", "--model", tiny)


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to damage."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.mark.parametrize("part", ["transformer", "codec", "text_encoder", "tokenizer"])
def test_a_missing_part_of_the_model_is_named(refused, model: Path, part: str) -> None:
    (model / part).rename(model / "elsewhere")
    assert part in refused("generate", PROMPT, "--model", model)


FILES = (
    "preset.yaml",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "codec/config.json",
    "codec/diffusion_pytorch_model.safetensors",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
)


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "garbage"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_the_model_is_refused(refused, model: Path, name: str, damage: str) -> None:
    path = model / name
    whole = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "garbage": b"\xff\xfe" * 50}[damage])
    refused("generate", PROMPT, "--frames", 1, "--quiet", "--model", model)
