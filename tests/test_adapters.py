"""LoRAs of a pipeline in diffusers' words, and what a snapshot makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from longtake import Pipeline, Snapshot, UserError
from longtake.models import download
from longtake.models.tiny_codec import TinyCodec, TinyCodecConfig
from tests.tiny import TINY_WAN, redraw, tiny_folder, tiny_pipeline

PROMPT = "a red sphere rolls"


def write_lora(
    path: Path, seed: int = 0, layer: str = "blocks.0.attn1.to_q", width: int = TINY_WAN.dim
) -> Path:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(3, width, generator=generator), torch.randn(width, 3, generator=generator)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {f"transformer.{layer}.lora_A.weight": a / 9, f"transformer.{layer}.lora_B.weight": b / 2}, path
    )
    return path


def frames(pipe: Pipeline) -> np.ndarray:
    return np.concatenate([c.frames for c in pipe.stream(PROMPT, seed=3, num_frames=13)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_lora(tmp_path / "ink.safetensors", 1), write_lora(tmp_path / "clay.safetensors", 2)


def test_loras_are_mixed_and_leave_no_trace(files: tuple[Path, Path]) -> None:
    pipe = tiny_pipeline()
    plain = frames(pipe)
    assert pipe.load_lora_weights(files[0], adapter_name="ink") == "ink"
    assert pipe.load_lora_weights(str(files[1])) == "default_0"
    both = frames(pipe)
    pipe.set_adapters("ink")
    assert pipe.get_active_adapters() == ["ink"]
    ink = frames(pipe)
    pipe.set_adapters(["ink", "default_0"], [0.5, 1.5])
    mixed = frames(pipe)
    pipe.set_adapters(["default_0"], 0.0)
    assert pipe.get_active_adapters() == []
    assert np.array_equal(frames(pipe), plain)
    pipe.set_adapters(["ink", "default_0"])
    assert np.array_equal(frames(pipe), both)
    assert len({made.tobytes() for made in (plain, both, ink, mixed)}) == 4
    pipe.unload_lora_weights()
    assert np.array_equal(frames(pipe), plain)
    assert pipe.load_lora_weights(files[0], adapter_name="ink") == "ink"


def test_a_fused_lora_stays_and_looks_the_same(files: tuple[Path, Path]) -> None:
    pipe, other = tiny_pipeline(), tiny_pipeline()
    for each in (pipe, other):
        each.load_lora_weights(files[0], adapter_name="ink")
        each.load_lora_weights(files[1], adapter_name="clay")
    pipe.set_adapters(["ink", "clay"], [0.5, 1.0])
    other.set_adapters(["ink", "clay"], [0.25, 0.5])
    pipe.fuse_lora(lora_scale=0.5)
    pipe.unload_lora_weights()
    assert pipe.get_active_adapters() == []
    assert not any("lora" in name for name, _ in pipe.backbone.named_parameters())
    fused, wrapped = (
        torch.cat([c.latents for c in p.stream(PROMPT, seed=3, num_frames=5)], 2) for p in (pipe, other)
    )
    difference = (fused - wrapped).abs().max().item()
    assert difference <= 1e-4, f"largest difference {difference:.2e}"
    assert [str(lora) for lora in pipe.variant.loras] == ["ink.safetensors:0.25", "clay.safetensors:0.5"]


def test_one_of_two_can_be_fused(files: tuple[Path, Path]) -> None:
    pipe = tiny_pipeline()
    pipe.load_lora_weights(files[0], adapter_name="ink")
    pipe.load_lora_weights(files[1], adapter_name="clay")
    pipe.fuse_lora(adapter_names=["ink"])
    assert pipe.get_active_adapters() == ["clay"]
    with pytest.raises(UserError, match="no LoRA is called 'ink'; loaded are: clay"):
        pipe.set_adapters("ink")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda pipe, folder: pipe.load_lora_weights(folder / "no.safetensors"),
            r"no\.safetensors are missing",
        ),
        (
            lambda pipe, folder: pipe.load_lora_weights(write_lora(folder / "w.safetensors", width=128)),
            r"it changes blocks\.0\.attn1\.to_q of the shape \(128, 128\), here it is \(96, 96\)",
        ),
        (
            lambda pipe, folder: pipe.load_lora_weights(
                write_lora(folder / "k.safetensors", layer="up.0.conv")
            ),
            r"no Wan transformer has \(up\.0\.conv\)",
        ),
        (
            lambda pipe, folder: pipe.load_lora_weights(folder / "ink.safetensors", adapter_name="ink"),
            "LoRA name 'ink' is in use",
        ),
        (lambda pipe, folder: pipe.set_adapters(["ink", "ink2"]), "no LoRA is called 'ink2'"),
        (lambda pipe, folder: pipe.set_adapters("ink", float("nan")), "LoRA weight nan is not a number"),
        (lambda pipe, folder: pipe.set_adapters(["ink"], [1, 2]), "1 LoRAs and 2 weights given"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(
    call,
    message: str,
    files: tuple[Path, Path],
    tmp_path: Path,  # type: ignore[no-untyped-def]
) -> None:
    pipe = tiny_pipeline()
    pipe.load_lora_weights(files[0], adapter_name="ink")
    before = pipe.variant
    with pytest.raises(UserError, match=message):
        call(pipe, tmp_path)
    assert pipe.variant == before
    assert pipe.get_active_adapters() == ["ink"]


def test_a_take_goes_on_only_with_the_loras_that_it_was_made_with(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    pipe = tiny_pipeline()
    pipe.load_lora_weights(files[0], adapter_name="ink")
    pipe.set_adapters("ink", 0.8)
    take = pipe.stream(PROMPT, seed=3, num_frames=20)
    next(take)
    take.snapshot().save(tmp_path / "take.safetensors")
    rest = [chunk.frames for chunk in take]
    snapshot = Snapshot.load(tmp_path / "take.safetensors")

    again = tiny_pipeline()
    with pytest.raises(
        UserError, match=r"made with LoRAs ink\.safetensors:0\.8, this model has no LoRA; load the same"
    ):
        again.restore(snapshot)
    renamed = files[0].rename(tmp_path / "renamed.safetensors")
    again.load_lora_weights(renamed, adapter_name="other")
    with pytest.raises(UserError, match=r"this model has LoRAs renamed\.safetensors:1;"):
        again.restore(snapshot)
    again.set_adapters("other", 0.8)
    assert all(np.array_equal(a.frames, b) for a, b in zip(again.restore(snapshot), rest, strict=True))
    again.load_lora_weights(files[1])
    with pytest.raises(
        UserError, match=r"this model has LoRAs renamed\.safetensors:0\.8, clay\.safetensors:1"
    ):
        again.restore(snapshot)


def test_a_take_goes_on_only_with_its_codec(tmp_path: Path) -> None:
    config = TinyCodecConfig(latent_channels=4, encoder_width=6, decoder_widths=(8, 6, 4, 4))
    tiny = TinyCodec(config)
    redraw(tiny)
    tiny.save_pretrained(tmp_path / "tiny_codec")
    folder = tiny_folder(tmp_path)
    snapshot = Pipeline.from_pretrained(folder).stream(PROMPT, seed=1, num_frames=5).snapshot()
    with pytest.raises(UserError, match="made with the codec PatchCodec, this model has TinyCodec"):
        Pipeline.from_pretrained(folder, codec="tiny").restore(snapshot)


def test_a_lora_comes_from_the_hub_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path))
    root, fetched = tmp_path / "models" / "owner" / "style", []

    def fetch(who: str, part: object, file, line: object) -> None:  # type: ignore[no-untyped-def]
        fetched.append((who, file.path))
        write_lora(root / file.path)

    monkeypatch.setattr(download, "_fetch", fetch)
    pipe = tiny_pipeline()
    pipe.load_lora_weights("owner/style", adapter_name="one")
    pipe.load_lora_weights("owner/style", adapter_name="two")
    pipe.load_lora_weights("owner/style", weight_name="deep/ink.safetensors", adapter_name="three")
    assert fetched == [
        ("LoRA owner/style", "pytorch_lora_weights.safetensors"),
        ("LoRA owner/style", "deep/ink.safetensors"),
    ]
