"""`longtake convert`: every container becomes a folder that both libraries open; nothing is half written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import UMT5Config, UMT5EncoderModel

from longtake.models import folder as folders
from longtake.models import umt5_keymap, vae_keymap
from longtake.models.tiny_codec import TinyCodec
from longtake.models.wan import WanTransformer
from longtake.models.wan_codec import WanCodec
from tests.models import variants
from tests.models.test_lora import LORAS, expected, longlive
from tests.models.variants import VARIANTS, original
from tests.tiny import redraw, tiny_transformer

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint with averaged weights, as Self-Forcing publishes them."""
    (tmp_path / "in").mkdir()
    return VARIANTS["pt, averaged and not"](tmp_path / "in")


def same(one: WanTransformer, other: WanTransformer) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_container_becomes_a_folder_that_both_libraries_open(run, tmp_path: Path, variant: str) -> None:
    (tmp_path / "in").mkdir()
    outcome = run("convert", "--from", VARIANTS[variant](tmp_path / "in"), "--to", "out", "--json")
    assert outcome.code == 0, outcome.stderr
    assert same(WanTransformer.from_pretrained(tmp_path / "out"), variants.model())
    theirs = WanTransformer3DModel.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(t, theirs[name]) for name, t in variants.model().state_dict().items())
    report = json.loads(outcome.stdout)
    assert report["parameters"] == sum(p.numel() for p in variants.model().parameters())
    assert report["files"] == [WEIGHTS]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_what_was_found_is_said(run, source: Path) -> None:
    lines = run("convert", "--from", source, "--to", "out").stdout.splitlines()
    assert lines[0] == f"{source}: generator_ema in original layout, float32"
    assert "text-to-video transformer, 2 layers of 1 heads of width 128" in lines[1]
    assert lines[2] == "ignored: critic, generator"
    assert lines[-1].startswith("out: ")


def test_plain_weights_on_request(run, source: Path, tmp_path: Path) -> None:
    assert run("convert", "--from", source, "--to", "out", "--no-ema").code == 0
    assert all((tensor == 7).all() for tensor in load_file(tmp_path / "out" / WEIGHTS).values())


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_the_number_format_can_be_chosen(run, source: Path, tmp_path: Path, name: str) -> None:
    outcome = run("convert", "--from", source, "--to", "out", "--dtype", name, "--json")
    wanted = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
    written = load_file(tmp_path / "out" / WEIGHTS)
    right = {key: tensor.to(wanted) for key, tensor in variants.model().state_dict().items()}
    assert all(torch.equal(tensor, right[key]) for key, tensor in written.items())
    assert json.loads(outcome.stdout)["num_bytes"] == sum(tensor.nbytes for tensor in written.values())


def test_large_models_are_written_in_shards(
    run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(folders.save_folder.__kwdefaults__, "shard_bytes", 500_000)
    report = json.loads(run("convert", "--from", source, "--to", "out", "--json").stdout)
    assert len(report["files"]) > 2
    assert all((tmp_path / "out" / name).stat().st_size < 520_000 for name in report["files"])
    assert same(WanTransformer.from_pretrained(tmp_path / "out"), variants.model())
    theirs = WanTransformer3DModel.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(t, theirs[name]) for name, t in variants.model().state_dict().items())


@pytest.mark.parametrize("scale", [None, 0.3])
def test_a_lora_is_merged_in(run, tmp_path: Path, scale: float | None) -> None:
    tiny_transformer().save_pretrained(tmp_path / "base")
    lora = LORAS["LongLive"][0](tmp_path)
    extra = () if scale is None else ("--lora-scale", scale)
    outcome = run("convert", "--from", "base", "--to", "out", "--lora", lora, *extra)
    assert outcome.code == 0, outcome.stderr
    assert f"merged: {lora}" in outcome.stdout
    right = expected(1.0 if scale is None else scale).state_dict()
    torch.testing.assert_close(load_file(tmp_path / "out" / WEIGHTS), right, atol=1e-6, rtol=1e-5)


def test_a_lora_is_merged_before_it_is_rounded(run, tmp_path: Path) -> None:
    tiny_transformer().save_pretrained(tmp_path / "base")
    lora = LORAS["LongLive"][0](tmp_path)
    assert run("convert", "--from", "base", "--to", "out", "--lora", lora, "--dtype", "bf16").code == 0
    written = load_file(tmp_path / "out" / WEIGHTS)
    exact = {
        name: longlive(tmp_path).fuse(name, tensor, 1.0).bfloat16()
        for name, tensor in tiny_transformer().state_dict().items()
    }
    assert all(torch.equal(tensor, exact[name]) for name, tensor in written.items())


def test_an_earlier_conversion_is_replaced_only_by_force(run, refused, source: Path, tmp_path: Path) -> None:
    run("convert", "--from", source, "--to", "out", "--no-ema")
    assert "--to out exists; give another folder, or --force" in refused(
        "convert", "--from", source, "--to", "out"
    )
    assert run("convert", "--from", source, "--to", "out", "--force").code == 0
    assert same(WanTransformer.from_pretrained(tmp_path / "out"), variants.model())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_force_never_deletes_what_is_not_a_model(refused, source: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    for extra in ((), ("--force",)):
        assert "--to home" in refused("convert", "--from", source, "--to", "home", *extra)
    assert "also holds thesis.txt" in refused("convert", "--from", source, "--to", "home", "--force")


def test_the_source_is_never_replaced(refused, tmp_path: Path) -> None:
    tiny_transformer().save_pretrained(tmp_path / "model")
    for inner in ("model", f"model/{WEIGHTS}"):
        line = refused("convert", "--from", inner, "--to", "model", "--force")
        assert "--to model is where" in line


def test_nothing_is_left_of_a_conversion_that_fails(
    refused, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def disk_full(tensors: object, path: Path, metadata: object) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(str(path))
        path.write_bytes(b"half")

    monkeypatch.setitem(folders.save_folder.__kwdefaults__, "shard_bytes", 500_000)
    monkeypatch.setattr(folders, "save_file", disk_full)
    line = refused("convert", "--from", source, "--to", "out")
    assert "No space left on device" in line
    assert written
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_numbers_that_fp16_cannot_hold_are_refused(refused, tmp_path: Path) -> None:
    save_file(original() | {"head.head.bias": torch.full((64,), 1e6)}, tmp_path / "big.safetensors")
    line = refused("convert", "--from", "big.safetensors", "--to", "out", "--dtype", "fp16")
    assert "proj_out.bias has numbers too large for fp16; use bf16" in line
    assert not (tmp_path / "out").exists()


def random_vae() -> AutoencoderKLWan:
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, num_res_blocks=2, latents_mean=[0.1] * 4, latents_std=[2.0] * 4
    )
    redraw(vae)
    return vae.eval()


@pytest.mark.parametrize("dtype", [None, "bf16"])
def test_the_vae_opens_in_both_libraries(run, tmp_path: Path, dtype: str | None) -> None:
    vae = random_vae()
    vae.save_pretrained(tmp_path / "theirs")
    torch.save(vae_keymap.to_original(vae.state_dict()), tmp_path / "theirs" / "Wan2.1_VAE.pth")
    extra = () if dtype is None else ("--dtype", dtype)
    outcome = run("convert", "--from", "theirs/Wan2.1_VAE.pth", "--to", "out", *extra)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.splitlines()[1].endswith("codec")
    again = AutoencoderKLWan.from_pretrained(tmp_path / "out")
    assert again.config.latents_std == [2.0] * 4
    wanted = vae.state_dict() if dtype is None else vae.bfloat16().state_dict()
    written = load_file(tmp_path / "out" / WEIGHTS)
    assert all(torch.equal(tensor, written[name]) for name, tensor in wanted.items())
    assert isinstance(WanCodec.from_pretrained(tmp_path / "out"), WanCodec)


def test_the_tiny_autoencoder_opens_again(run, tmp_path: Path) -> None:
    codec = TinyCodec()
    torch.save(codec.state_dict(), tmp_path / "taew2_1.pth")
    assert run("convert", "--from", "taew2_1.pth", "--to", "out").code == 0
    again = TinyCodec.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in codec.state_dict().items())


def test_the_text_encoder_opens_in_transformers(run, tmp_path: Path) -> None:
    sizes = {"vocab_size": 11, "d_model": 16, "d_kv": 6, "d_ff": 20, "num_layers": 3, "num_heads": 2}
    encoder = UMT5EncoderModel(UMT5Config(**sizes, relative_attention_num_buckets=8)).eval()
    redraw(encoder)
    torch.save(umt5_keymap.to_original(encoder.state_dict()), tmp_path / "models_t5.pth")
    outcome = run("convert", "--from", "models_t5.pth", "--to", "out", "--json")
    assert outcome.code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["kind"] == "text encoder"
    again = UMT5EncoderModel.from_pretrained(tmp_path / "out").eval()
    ids = torch.tensor([[3, 5, 7, 1]])
    assert torch.equal(again(ids).last_hidden_state, encoder(ids).last_hidden_state)
    more = run("convert", "--from", "out", "--to", "more", "--dtype", "bf16", "--json")
    assert json.loads(more.stdout)["layout"] == "transformers"


def test_a_lora_is_for_transformers(refused, tmp_path: Path) -> None:
    torch.save(TinyCodec().state_dict(), tmp_path / "tiny.pth")
    line = refused("convert", "--from", "tiny.pth", "--to", "out", "--lora", "lora.pt")
    assert "changes a transformer and this is a codec" in line


BAD: dict[str, tuple[Callable[[Path], tuple[object, ...]], str]] = {
    "no file": (lambda p: ("--from", "no.pt", "--to", "out"), "no.pt are missing"),
    "no folder around": (lambda p: ("--from", "x.pt", "--to", "a/b/out"), "a/b is no folder"),
    "a file": (lambda p: ("--from", "x.pt", "--to", "x.pt"), "--to x.pt is a file"),
    "dtype": (lambda p: ("--from", "x.pt", "--to", "out", "--dtype", "fp8"), "give one of fp32, bf16, fp16"),
    "scale alone": (lambda p: ("--from", "x.pt", "--to", "out", "--lora-scale", 2), "give --lora PATH too"),
    "scale": (
        lambda p: ("--from", "x.pt", "--to", "out", "--lora", "l.pt", "--lora-scale", "nan"),
        "--lora-scale nan is not a number",
    ),
    "head": (lambda p: ("--from", "x.pt", "--to", "out", "--head-dim", 0), "no multiple of the head width 0"),
    "no --to": (lambda p: ("--from", "x.pt"), "missing option '--to'"),
    "LoRA of another model": (
        lambda p: ("--from", "x.pt", "--to", "out", "--lora", LORAS["LongLive"][0](p)),
        "made for another model: it changes blocks.0.attn1.to_q",
    ),
    "LoRA as model": (lambda p: ("--from", LORAS["comfy"][0](p), "--to", "out"), "is a LoRA"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_converted_is_refused(refused, tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    torch.save(original(), tmp_path / "x.pt")
    assert message in refused("convert", *make(tmp_path))
    assert not (tmp_path / "out").exists()
