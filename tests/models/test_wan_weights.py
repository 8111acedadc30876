"""Every published container loads into the same model; what cannot be used is refused with reason and remedy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from longtake.errors import UserError
from longtake.models.keymap import Layout
from longtake.models.wan import WanTransformer
from longtake.models.wan_weights import read_weights
from tests.models import variants
from tests.models.variants import PUBLISHED_HEAD, VARIANTS, original, save_pt, save_safetensors
from tests.tiny import tiny_transformer


@torch.no_grad()
def output(model: WanTransformer) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 16, 2, 4, 6, generator=generator)
    text = torch.randn(1, 5, 24, generator=generator)
    return model(latents, torch.tensor([[937.5, 250.0]]), text)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_container_gives_the_same_model(variant: str, tmp_path: Path) -> None:
    expected = variants.model()
    loaded = WanTransformer.from_pretrained(VARIANTS[variant](tmp_path), allow_pt=True)
    assert loaded.config == PUBLISHED_HEAD
    assert not any(parameter.is_meta or parameter.requires_grad for parameter in loaded.parameters())
    difference = (output(loaded) - output(expected)).abs().max().item()
    assert difference <= 1e-6, f"largest difference {difference:.2e}"


def test_what_was_found_is_reported(tmp_path: Path) -> None:
    weights = read_weights(VARIANTS["pt, averaged and not"](tmp_path), allow_pt=True)
    assert (weights.container, weights.layout) == ("generator_ema", Layout.ORIGINAL)
    assert weights.ignored == ("critic", "generator")
    assert weights.parameters == sum(p.numel() for p in variants.model().parameters())
    assert weights.stored_bytes == 4 * weights.parameters
    assert weights.dtypes == ("float32",)
    linear = read_weights(VARIANTS["original file, linear patches"](tmp_path))
    assert (linear.container, linear.reshaped) == ("raw", ("patch_embedding.weight",))
    parts = read_weights(VARIANTS["original file, parts of training"](tmp_path))
    assert set(parts.ignored) == {
        *("freqs", "critic.head.weight", "_cls_pred_branch.0.weight"),
        *("_register_tokens", "_gan_ca_blocks.0.q.weight"),
    }


def test_averaged_weights_are_taken_only_when_asked_for(tmp_path: Path) -> None:
    path = VARIANTS["pt, averaged and not"](tmp_path)
    plain = read_weights(path, ema=False, allow_pt=True)
    assert plain.container == "generator"
    assert all((tensor == 7).all() for tensor in plain.state.values())
    alone = VARIANTS["pt, generator alone"](tmp_path)
    assert read_weights(alone, ema=True, allow_pt=True).container == "generator"


@pytest.mark.parametrize("variant", ["diffusers folder", "pt, generator and critic"])
def test_weights_stay_mapped_to_their_file(variant: str, tmp_path: Path) -> None:
    weights = read_weights(VARIANTS[variant](tmp_path), allow_pt=True)
    model = WanTransformer.from_weights(weights)
    own = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    assert own == {name: tensor.data_ptr() for name, tensor in weights.state.items()}
    mapped = Path("/proc/self/maps").read_text()
    assert all(str(file) in mapped for file in weights.files)
    low = WanTransformer.from_weights(weights, torch_dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in low.parameters()} == {torch.bfloat16}


def test_a_model_can_be_saved_over_the_file_that_it_is_mapped_to(tmp_path: Path) -> None:
    variants.model().save_pretrained(tmp_path)
    model = WanTransformer.from_pretrained(tmp_path)
    before = output(model)
    model.save_pretrained(tmp_path, dtype=torch.bfloat16)
    assert torch.equal(output(model), before)
    assert (
        load_file(tmp_path / "diffusion_pytorch_model.safetensors")["proj_out.bias"].dtype == torch.bfloat16
    )


def test_the_head_width_comes_from_the_config_beside_or_the_caller(tmp_path: Path) -> None:
    config = replace(PUBLISHED_HEAD, num_attention_heads=4, attention_head_dim=24)
    tiny_transformer(config).save_pretrained(tmp_path / "a")
    file = tmp_path / "a" / "diffusion_pytorch_model.safetensors"
    assert read_weights(file).config == config
    alone = file.rename(tmp_path / "alone.safetensors")
    assert read_weights(alone, head_dim=24).config == config
    with pytest.raises(
        UserError, match=r"width 96 is no multiple of the head width 128; put .* config\.json"
    ):
        read_weights(alone)


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["UMT5EncoderModel"], "num_heads": 64, "d_model": 4096},
        {"model_type": "clip_vision_model", "num_attention_heads": 16, "num_layers": 5},
        {"_class_name": "AutoencoderKLWan", "z_dim": 16},
    ],
)
def test_a_config_of_another_network_beside_the_file_says_nothing(
    tmp_path: Path, config: dict[str, object]
) -> None:
    path = VARIANTS["pt, raw"](tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_weights(path, allow_pt=True).config == PUBLISHED_HEAD


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("code-was-run",)


def changed(**tensors: Tensor | None) -> Callable[[], dict[str, Tensor]]:
    """The model's tensors with some replaced or, where None, taken out; `__` stands for a dot."""
    names = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return lambda: {name: t for name, t in {**original(), **names}.items() if t is not None}


def cut(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    def damaged(folder: Path) -> Path:
        path = write(folder)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return damaged


def text_file(name: str, content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return write


def two_files(folder: Path) -> Path:
    for name in ("b.pt", "a.pt"):
        torch.save({}, folder / name)
    return folder


def index(where: dict[str, str]) -> Callable[[Path], Path]:
    return text_file("model.safetensors.index.json", json.dumps({"weight_map": where}))


def shards(folder: Path) -> Path:
    """Without their index."""
    variants.diffusers_shards(folder)
    (folder / "diffusion_pytorch_model.safetensors.index.json").unlink()
    return folder


def one_shard(folder: Path) -> Path:
    return sorted(variants.diffusers_shards(folder).glob("*.safetensors"))[0]


def other_config(folder: Path) -> Path:
    variants.model().save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"num_layers": 2', '"num_layers": 1000000000'))
    return folder


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "code": (
        save_pt("x.pt", lambda: {"generator": Code()}),
        r"x\.pt asks for posix\.mkdir and is not opened",
    ),
    "cut pt": (cut(save_pt("x.pt", original)), r"x\.pt are damaged .*fetch the file again"),
    "cut safetensors": (cut(save_safetensors(original)), r"any\.safetensors are damaged"),
    "text": (text_file("x.pt", "hello"), "not a PyTorch archive"),
    "empty": (text_file("x.ckpt", ""), "not a PyTorch archive"),
    "web page": (text_file("x.safetensors", "<html>Not Found</html>"), r"x\.safetensors are damaged"),
    "other kind": (text_file("x.onnx", "?"), r"x\.onnx is of no known kind; safetensors and \.pt"),
    "no file": (lambda folder: folder / "no.pt", r"no\.pt are missing; give a file or folder that is there"),
    "empty folder": (lambda folder: folder, "no weights in this folder"),
    "two files": (two_files, r"holds a\.pt, b\.pt; name the file that is meant"),
    "a list": (save_pt("x.pt", lambda: [1, 2]), "holds a list; named tensors are needed"),
    "numbers": (save_pt("x.pt", lambda: {"step": 3}), "holds no weights, only step"),
    "another network": (
        save_safetensors(lambda: {"encoder.conv1.weight": torch.ones(2)}),
        r"no Wan transformer \(it has encoder\.conv1\.weight",
    ),
    "a LoRA": (
        save_pt("x.pt", lambda: {"generator_lora": {"blocks.0.self_attn.q.lora_A.weight": torch.ones(2, 2)}}),
        "holds no weights, only generator_lora",
    ),
    "a raw LoRA": (
        save_safetensors(lambda: {"blocks.0.self_attn.q.lora_A.weight": torch.ones(2, 2)}),
        "is a LoRA, which changes a model",
    ),
    "missing": (
        save_safetensors(changed(blocks__1__norm3__bias=None)),
        r"1 missing \(blocks\.1\.norm2\.bias\)",
    ),
    "missing size": (save_safetensors(changed(head__head__weight=None)), r"proj_out\.weight is missing"),
    "missing block": (
        save_safetensors(
            lambda: {k.replace("blocks.1.", "blocks.999999999."): v for k, v in original().items()}
        ),
        "incomplete: block 1 is missing",
    ),
    "unexpected": (
        save_safetensors(changed(blocks__0__norm2__weight=torch.ones(128))),
        r"1 unexpected \(blocks\.0\.norm2\.weight\)",
    ),
    "other shape": (
        save_safetensors(changed(blocks__1__ffn__2__weight=torch.ones(128, 159))),
        r"1 of another shape \(blocks\.1\.ffn\.net\.2\.weight\)",
    ),
    "odd linear patches": (
        save_safetensors(changed(patch_embedding__weight=torch.ones(128, 63))),
        "divide into patches",
    ),
    "flat": (save_safetensors(changed(text_embedding__0__weight=torch.ones(64))), "too few axes"),
    "integers": (
        save_safetensors(changed(head__head__bias=torch.ones(64, dtype=torch.int8))),
        "is stored as int8; float32, bfloat16 and float16",
    ),
    "more than it holds": (
        save_pt("x.pt", changed(head__head__bias=torch.ones(1).expand(10**12))),
        "claims more than the file holds",
    ),
    "nothing": (save_safetensors(changed(head__head__bias=torch.ones(0))), "is empty or claims"),
    "twice": (
        save_safetensors(lambda: original() | original("model.")),
        r"holds blocks\.0\.\S+ twice \(once as model\.blocks",
    ),
    "index outside": (index({"a": "../a.safetensors"}), r"points outside of its folder \(\.\./a"),
    "index of nothing": (text_file("model.safetensors.index.json", "{}"), "has no weight_map"),
    "shard lost": (index({"a": "a.safetensors"}), r"a\.safetensors are missing"),
    "shards alone": (shards, r"shards without their index; fetch the \.safetensors\.index\.json file"),
    "one shard": (one_shard, "is one of several shards; give their folder"),
    "other config": (other_config, "num_layers is 1000000000 there, 2 in the weights"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path)
    with pytest.raises(UserError, match=message) as refused:
        WanTransformer.from_pretrained(path, allow_pt=True)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert not (tmp_path / "code-was-run").exists()


@pytest.mark.parametrize("change", [b"[", b'{"weight_map": []}', b'{"weight_map": {"a": 3}}', b"\xff", b"{}"])
def test_a_garbled_index_is_refused_by_name(tmp_path: Path, change: bytes) -> None:
    path = VARIANTS["original shards"](tmp_path)
    path.write_bytes(change)
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json"):
        WanTransformer.from_pretrained(path)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name.startswith(("pt", "ckpt"))])
def test_only_safetensors_are_opened_unless_allowed(variant: str, tmp_path: Path) -> None:
    path = VARIANTS[variant](tmp_path)
    with pytest.raises(UserError, match=rf"run `longtake convert --from {path} --to FOLDER` once"):
        WanTransformer.from_pretrained(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_flipped_bytes_in_a_pt_never_end_in_anything_but_a_refusal(tmp_path: Path) -> None:
    path = save_pt("x.pt", lambda: {"generator": {"model.a": torch.ones(3)}, "step": 1})(tmp_path)
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for place in torch.randint(0, len(whole), (300,), generator=generator).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(UserError) as error:
            WanTransformer.from_pretrained(path, allow_pt=True)
        refused += "no Wan transformer" not in str(error.value)
    assert refused > 30
