"""`generate --lora`, `--profile` and `--codec`: what they do, and what is refused before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from longtake.cli.opening import GivenLora, Opening
from longtake.footage import VideoFile
from longtake.journal.fingerprint import fingerprint
from longtake.models.hub import look_up
from longtake.models.tiny_codec import TinyCodec, TinyCodecConfig
from longtake.pipeline import Pipeline
from tests.test_adapters import write_lora
from tests.tiny import redraw, tiny_folder, tiny_image_pipeline

PROMPT = "a red sphere rolls"


def film(run, model: Path, *options: object) -> tuple[np.ndarray, list[str]]:  # type: ignore[no-untyped-def]
    """The frames of a file, and what the summary says of inputs."""
    made = run(
        "generate",
        PROMPT,
        "--model",
        model,
        "--frames",
        9,
        "--seed",
        3,
        "--out",
        "a.mp4",
        "--force",
        "--json",
        *options,
    )
    assert made.code == 0, made.stderr
    return np.stack(list(VideoFile.open("a.mp4").frames(8))), json.loads(made.stdout)["inputs"]


def test_loras_change_the_video_by_their_scale(run, tiny: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_lora(tmp_path / "ink.safetensors", 1)
    write_lora(tmp_path / "clay.safetensors", 2)
    plain, said = film(run, tiny)
    assert said == []
    off, said = film(run, tiny, "--lora", "ink.safetensors:0")
    assert np.array_equal(off, plain)
    assert said == ["LoRA: ink.safetensors, scale 0"]
    one, _ = film(run, tiny, "--lora", "ink.safetensors")
    two, said = film(run, tiny, "--lora", "ink.safetensors", "--lora", "clay.safetensors:-0.5")
    assert said == ["LoRA: ink.safetensors, scale 1", "LoRA: clay.safetensors, scale -0.5"]
    assert len({frames.tobytes() for frames in (plain, one, two)}) == 3


@pytest.mark.parametrize("profile", ["text-off", "tiled", "layerwise"])
def test_profiles_that_keep_less_in_memory_are_recorded_as_the_same_model(  # type: ignore[no-untyped-def]
    run, tiny: Path, profile: str
) -> None:
    """Where the weights are is not what they are: a take goes on and is verified under another profile."""
    made = run(
        "generate", PROMPT, "--model", tiny, "--frames", 9, "--out", "a.mp4", "--profile", profile, "--json"
    )
    assert made.code == 0, made.stderr
    take = json.loads(run("takes", "list", "--json").stdout)[0]
    found = run("takes", "replay", take["id"], "--verify")
    assert found.code == 0, found.stderr
    plain = fingerprint(Pipeline.from_pretrained(tiny, profile="resident"))
    other = fingerprint(Pipeline.from_pretrained(tiny, profile=profile))
    assert other == plain | {"tiled": profile != "text-off"}


def test_a_profile_of_other_numbers_is_another_model_and_is_taken_up_again(run, tiny: Path) -> None:  # type: ignore[no-untyped-def]
    """bfloat16 makes other bytes: the record keeps the profile, so that the take is made again as it was."""
    command = (
        "generate",
        PROMPT,
        "--model",
        tiny,
        "--frames",
        9,
        "--out",
        "a.mp4",
        "--profile",
        "bf16",
        "--json",
    )
    made = run(*command)
    assert made.code == 0, made.stderr
    take = json.loads(run("takes", "list", "--json").stdout)[0]
    found = run("takes", "replay", take["id"], "--verify")
    assert found.code == 0, found.stderr
    plain = fingerprint(Pipeline.from_pretrained(tiny, profile="resident"))
    other = fingerprint(Pipeline.from_pretrained(tiny, profile="bf16"))
    assert {name for name in plain if plain[name] != other[name]} == {"dtype", "tiled", "weights"}


def test_a_model_is_opened_as_asked(tmp_path: Path) -> None:
    config = TinyCodecConfig(latent_channels=4, encoder_width=6, decoder_widths=(8, 6, 4, 4))
    codec = TinyCodec(config)
    redraw(codec)
    codec.save_pretrained(tmp_path / "tiny_codec")
    folder, lora = tiny_folder(tmp_path), write_lora(tmp_path / "ink.safetensors")
    asked = Opening.read(look_up(folder), "text-off", "tiny", [f"{lora}:0.5"])
    assert Opening.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked
    pipe = asked.open(str(folder))
    assert isinstance(pipe.codec, TinyCodec)
    assert pipe.text_encoder.residence.offload == "after_use"
    assert [str(applied) for applied in pipe.variant.loras] == ["ink.safetensors:0.5"]
    assert asked.notes() == (f"LoRA: {lora}, scale 0.5", "codec: tiny")


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("a.safetensors", GivenLora("a.safetensors")),
        ("a.safetensors:0.8", GivenLora("a.safetensors", 0.8)),
        ("owner/name:-1", GivenLora("owner/name", -1.0)),
    ],
)
def test_a_scale_stands_behind_the_file(text: str, given: GivenLora) -> None:
    assert GivenLora.read(text) == given


@pytest.fixture
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model is being loaded")

    monkeypatch.setattr(Pipeline, "from_pretrained", load)


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--lora", "ink.safetensors:strong"], ["'strong' is no scale", "FILE:0.8"]),
        (["--lora", ":0.5"], ["not a file and a scale"]),
        (["--lora", "ink.safetensors:nan"], ["not a file and a scale"]),
        (["--lora", "none.safetensors"], ["none.safetensors", "missing"]),
        (
            ["--lora", "other.safetensors"],
            ["other.safetensors was made for another model", "(128, 128)", "(96, 96)"],
        ),
        (["--lora", "text.safetensors"], ["text.safetensors", "damaged"]),
        (["--profile", "tiny"], ["profile 'tiny' is unknown", "resident, text-off"]),
        (["--codec", "tiny"], ["'tiny' has no tiny codec"]),
        (["--codec", "huge"], ["codec 'huge' is unknown; use one of full, tiny"]),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_loaded(
    refused,
    tiny: Path,
    tmp_path: Path,
    options: list[str],
    parts: list[str],  # type: ignore[no-untyped-def]
) -> None:
    write_lora(tmp_path / "ink.safetensors")
    write_lora(tmp_path / "other.safetensors", width=128)
    (tmp_path / "text.safetensors").write_text("no tensors")
    line = refused("generate", PROMPT, "--model", tiny, *options)
    assert all(part in line for part in parts), line


@pytest.mark.usefixtures("nothing_is_loaded")
def test_a_model_that_needs_a_picture_asks_for_it(refused, tmp_path_factory: pytest.TempPathFactory) -> None:  # type: ignore[no-untyped-def]
    folder = tiny_folder(tmp_path_factory.mktemp("model"), tiny_image_pipeline())
    assert "makes video from a picture; give an image" in refused("generate", PROMPT, "--model", folder)
    shutil.rmtree(folder)
