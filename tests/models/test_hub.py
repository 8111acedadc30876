"""Presets and folders: what loads, and what is refused in which words."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

import longtake
from longtake.errors import UserError
from longtake.models.hub import find, look_up, presets, read_preset
from longtake.models.steps import FewStepSpec
from tests.tiny import TINY_WAN, tiny_folder, tiny_transformer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


def test_every_shipped_preset_is_found_under_its_file_name() -> None:
    assert "mini" in presets()
    assert all(preset.name == name and preset.licence for name, preset in presets().items())


def test_mini_is_complete_in_the_package() -> None:
    assert not find("mini").missing


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown model 'mni'; known: .*mini"):
        find("mni")


def test_a_folder_of_ones_own_loads_and_generates(folder: Path) -> None:
    assert longtake.load(folder)("a red sphere", num_frames=3).frames.shape == (1, 3, 16, 32, 3)


def test_a_folder_with_a_part_missing_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "codec")
    with pytest.raises(UserError, match="lacks codec"):
        longtake.load(tmp_path / "model")


@pytest.mark.parametrize("part", ["transformer", "codec", "text_encoder"])
def test_damaged_weights_are_refused_by_name(folder: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (weights,) = (tmp_path / "model" / part).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(UserError, match=part.replace("_", ".")):
        longtake.load(tmp_path / "model")


FEW_STEPS = {"kind": "few-step", "steps": [1000, 500], "also": [[1000]], "shift": 3.0, "warp": True}


def test_two_models_share_a_folder_but_for_the_part_that_is_called_otherwise(
    folder: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "student"
    shutil.copytree(folder, shared)
    other = tiny_transformer(replace(TINY_WAN, in_channels=4, out_channels=4), seed=5)
    other.save_pretrained(shared / "student")
    values = yaml.safe_load((folder / "preset.yaml").read_text())
    values["folders"] = {"transformer": "student"}
    values["policy"] |= {"sampler": FEW_STEPS, "guidance_scale": 1.0}
    (shared / "preset.yaml").write_text(yaml.safe_dump(values))
    student = longtake.load(shared)
    assert torch.equal(student.backbone.patch_embedding.weight, other.patch_embedding.weight)
    two, one = (
        student("a red sphere", num_frames=3, num_inference_steps=n, generator=seed()) for n in (2, 1)
    )
    assert not np.array_equal(two.frames, one.frames), "by both of its step lists"
    shutil.rmtree(shared / "student")
    with pytest.raises(UserError, match="lacks transformer"):
        longtake.load(shared)


def test_a_student_can_be_a_low_rank_difference_in_its_teachers_folder(folder: Path, tmp_path: Path) -> None:
    shared, layer = tmp_path / "student", "blocks.0.attn1.to_q"
    shutil.copytree(folder, shared)
    (shared / "student-lora").mkdir()
    generator = torch.Generator().manual_seed(7)
    a, b = (torch.randn(shape, generator=generator) for shape in ((2, TINY_WAN.dim), (TINY_WAN.dim, 2)))
    change = {f"{layer}.lora_A.weight": a, f"{layer}.lora_B.weight": b}
    save_file(change, shared / "student-lora" / "lora.safetensors")
    assert "lora" not in look_up(shared).parts, "the teacher knows nothing of it"
    teacher = longtake.load(shared).backbone.state_dict()[f"{layer}.weight"]
    values = yaml.safe_load((folder / "preset.yaml").read_text()) | {"folders": {"lora": "student-lora"}}
    (shared / "preset.yaml").write_text(yaml.safe_dump(values))
    student = longtake.load(shared).backbone.state_dict()[f"{layer}.weight"]
    assert torch.allclose(student, teacher + b @ a, atol=1e-4)


def seed() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_mini_lies_beside_its_teacher_whose_weights_make_whole_clips_or_stream() -> None:
    names = ("mini", "mini-teacher", "mini-causal", "mini-4step")
    mini, teacher, causal, few = map(find, names)
    assert len({found.part("codec").path for found in (mini, teacher, causal, few)}) == 1
    assert few.part("transformer").path not in (
        mini.part("transformer").path,
        teacher.part("transformer").path,
    )
    assert isinstance(few.preset.policy.sampler, FewStepSpec)
    assert {"cam", "apm"} <= mini.parts.keys(), (
        "memories lie beside the transformer that they were trained for"
    )
    assert not any({"cam", "apm"} & found.parts.keys() for found in (teacher, causal, few))
    assert mini.part("transformer").path != teacher.part("transformer").path
    assert teacher.part("transformer").path == causal.part("transformer").path
    assert teacher.preset.policy.kind == "joint"
    assert causal.preset.policy.kind == "causal"
    assert mini.preset.policy.guidance_scale == 1.0 < causal.preset.policy.guidance_scale


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": {"block": 0}}, "policy.block"),
        ({"policy": {"sampler": {"kind": "magic"}}}, "policy.sampler"),
        ({"colour": "red"}, "colour"),
        ({"native": {"width": "wide"}}, "native.width"),
    ],
)
def test_a_broken_preset_names_file_and_field(
    folder: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    values = yaml.safe_load((folder / "preset.yaml").read_text())
    for key, value in change.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    path = tmp_path / "preset.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=rf"preset\.yaml: {message}"):
        read_preset(path)


def test_what_a_licence_forbids_is_said_in_plain_words() -> None:
    known = presets()
    assert known["mini"].terms == "Apache-2.0"
    assert "for non-commercial use only" in known["causvid"].notice
    assert "huggingface.co/tianweiy/CausVid" in known["causvid"].notice
    assert "before any commercial use" in known["streamdiffusion-v2"].terms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folder": None}, "a folder with the weights, or parts"),
        ({"parts": {"transformer": {"shared": "longlive"}}}, "a folder with the weights, or parts"),
        ({"folder": None, "parts": {"transformer": {"shared": "longlive"}}}, "needs its network's sizes"),
        ({"folder": None, "folders": {"lora": "student"}}, "inside `folder`|a folder with the weights, or"),
        ({"parts": {"wheels": {"shared": "longlive"}}}, "parts.wheels"),
    ],
)
def test_a_preset_has_one_place_for_its_weights(
    folder: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    values = {**yaml.safe_load((folder / "preset.yaml").read_text()), **change}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=message):
        read_preset(tmp_path / "preset.yaml")


def test_a_file_of_another_size_than_published_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path))
    path = tmp_path / "models" / "Efficient-Large-Model" / "LongLive-1.3B" / "models" / "lora.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the first bytes of it")
    assert "lora" in look_up("longlive").missing
