"""LoRA files of every kind read into the same change; wrapped, merged and written out it is `W + scale·(α/r)·B·A`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import UserError
from longtake.models.keymap import Layout, rename
from longtake.models.lora import Lora, read_lora
from longtake.models.lora_adapter import LoraAdapter
from longtake.models.wan import WanTransformer
from tests.tiny import TINY_WAN, tiny_transformer

State = dict[str, Tensor]
ORIGINAL_LAYERS = [
    *(f"{attention}.{letter}" for attention in ("self_attn", "cross_attn") for letter in "qkvo"),
    *("ffn.0", "ffn.2"),
]
RANK, WIDE_RANK = 3, 5


def original_names() -> list[str]:
    """The layers that LongLive's LoRA changes."""
    return [f"blocks.{n}.{layer}" for n in range(TINY_WAN.num_layers) for layer in ORIGINAL_LAYERS]


def translated(name: str) -> str:
    found = rename(name, Layout.ORIGINAL, Layout.DIFFUSERS)
    assert found
    return found


def pairs(seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """`A [r, in]` and `B [out, r]` by original name; one layer has a rank of its own."""
    generator = torch.Generator().manual_seed(seed)
    weights = tiny_transformer().state_dict()
    made = {}
    for name in original_names():
        out, inner = weights[f"{translated(name)}.weight"].shape
        rank = WIDE_RANK if name.endswith("1.ffn.0") else RANK
        a = torch.randn(rank, inner, generator=generator) / inner**0.5
        made[name] = a, torch.randn(out, rank, generator=generator) / rank**0.5
    return made


def spelled(a: str, b: str, name: Callable[[str], str] = str) -> State:
    return {
        key: tensor
        for layer, (down, up) in pairs().items()
        for key, tensor in ((f"{name(layer)}.{a}.weight", down), (f"{name(layer)}.{b}.weight", up))
    }


def with_alpha(state: State, alpha: float, name: Callable[[str], str]) -> State:
    return state | {f"{name(layer)}.alpha": torch.tensor(alpha) for layer in pairs()}


def save_pt(content: Callable[[], object]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(content(), folder / "lora.pt")
        return folder / "lora.pt"

    return write


def save(state: Callable[[], State], metadata: dict[str, str] | None = None) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        save_file(state(), folder / "adapter_model.safetensors", metadata=metadata)
        return folder / "adapter_model.safetensors"

    return write


def peft_folder(folder: Path) -> Path:
    """peft's own file, with its root of the scale, of our model under diffusers' names."""
    config = LoraConfig(
        r=RANK,
        lora_alpha=6,
        use_rslora=True,
        target_modules=[translated(name) for name in original_names()],
        rank_pattern={translated("blocks.1.ffn.0"): WIDE_RANK},
    )
    wrapped = get_peft_model(tiny_transformer(), config)
    wrapped.load_state_dict(
        {
            key.replace(".weight", ".default.weight"): tensor
            for key, tensor in spelled(
                "lora_A", "lora_B", lambda layer: f"base_model.model.{translated(layer)}"
            ).items()
        },
        strict=False,
    )
    wrapped.save_pretrained(folder)
    return folder


def flat(layer: str) -> str:
    return "lora_unet_" + layer.replace(".", "_")


def comfy(layer: str) -> str:
    return f"diffusion_model.{layer}"


def diffusers_name(layer: str) -> str:
    return f"transformer.{translated(layer)}"


LORAS: dict[str, tuple[Callable[[Path], Path], Callable[[int], float]]] = {
    "LongLive": (
        save_pt(
            lambda: {
                "generator_lora": spelled("lora_A", "lora_B", lambda n: f"base_model.model.{n}"),
                "step": 9,
            }
        ),
        lambda rank: 1.0,
    ),
    "LongLive, raw with fragments": (
        save_pt(
            lambda: spelled(
                "lora_A.default",
                "lora_B.default",
                lambda n: f"base_model.model.model._fsdp_wrapped_module.{n}",
            )
        ),
        lambda rank: 1.0,
    ),
    "diffusers": (save(lambda: spelled("lora_A", "lora_B", diffusers_name)), lambda rank: 1.0),
    "diffusers with its scale": (
        save(
            lambda: spelled("lora_A", "lora_B", diffusers_name),
            {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 6, "transformer.r": RANK})},
        ),
        lambda rank: 6 / rank,
    ),
    "peft folder": (peft_folder, lambda rank: 6 / rank**0.5),
    "comfy": (save(lambda: spelled("lora_A", "lora_B", comfy)), lambda rank: 1.0),
    "down and up": (
        save(lambda: with_alpha(spelled("lora_down", "lora_up", comfy), 1.5, comfy)),
        lambda rank: 1.5 / rank,
    ),
    "kohya": (
        save(lambda: with_alpha(spelled("lora_down", "lora_up", flat), 1.5, flat)),
        lambda rank: 1.5 / rank,
    ),
}


def expected(
    scale: float, trained: Callable[[int], float] = lambda rank: 1.0, seed: int = 0
) -> WanTransformer:
    """W + scale·(α/r)·B·A, by hand."""
    model = tiny_transformer()
    weights = model.state_dict()
    for layer, (a, b) in pairs(seed).items():
        weights[f"{translated(layer)}.weight"] += (
            scale * trained(a.shape[0]) * (b.double() @ a.double()).float()
        )
    return model


@torch.no_grad()
def output(model: WanTransformer) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, TINY_WAN.in_channels, 2, 4, 6, generator=generator)
    text = torch.randn(1, 5, TINY_WAN.text_dim, generator=generator)
    return model(latents, torch.tensor([[937.5, 250.0]]), text)


def distance(one: WanTransformer, other: WanTransformer) -> float:
    return (output(one) - output(other)).abs().max().item()


def longlive(folder: Path) -> Lora:
    return read_lora(LORAS["LongLive"][0](folder), allow_pt=True)


@pytest.mark.parametrize("kind", LORAS)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_wrapped_equals_merged_equals_the_formula(kind: str, scale: float, tmp_path: Path) -> None:
    write, trained = LORAS[kind]
    lora = read_lora(write(tmp_path), allow_pt=True)
    right = expected(scale, trained)
    assert distance(right, tiny_transformer()) > 0.1
    model = tiny_transformer()
    adapter = LoraAdapter(model, lora, scale=scale)
    assert (difference := distance(model, right)) <= 1e-5, f"wrapped differs by {difference:.2e}"
    adapter.merge()
    assert (difference := distance(model, right)) <= 1e-5, f"merged differs by {difference:.2e}"
    torch.testing.assert_close(model.state_dict(), right.state_dict(), atol=1e-6, rtol=1e-5)
    fused = {name: lora.fuse(name, tensor, scale) for name, tensor in tiny_transformer().state_dict().items()}
    assert all(torch.equal(tensor, fused[name]) for name, tensor in model.state_dict().items())


def test_the_scale_can_be_set_later_and_unloading_leaves_no_trace(tmp_path: Path) -> None:
    model = tiny_transformer()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapter = LoraAdapter(model, longlive(tmp_path), scale=0.0)
    assert distance(model, tiny_transformer()) == 0
    adapter.scale = 0.75
    assert distance(model, expected(0.75)) <= 1e-5
    assert not any(parameter.requires_grad for parameter in model.parameters())
    adapter.unload()
    assert vars(model).keys() == vars(tiny_transformer()).keys()
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(output(model), output(tiny_transformer()))


def test_two_are_added_and_leave_one_by_one(tmp_path: Path) -> None:
    model, lora = tiny_transformer(), longlive(tmp_path)
    first = LoraAdapter(model, lora, scale=0.25, name="first")
    second = LoraAdapter(model, lora, scale=0.5, name="second")
    assert distance(model, expected(0.75)) <= 1e-5
    with pytest.raises(UserError, match="LoRA name 'first' is in use"):
        LoraAdapter(model, lora, name="first")
    first.unload()
    assert distance(model, expected(0.5)) <= 1e-5
    second.merge()
    assert distance(model, expected(0.5)) <= 1e-5
    assert model.state_dict().keys() == tiny_transformer().state_dict().keys()
    LoraAdapter(model, lora, name="first").unload()


def test_attaching_draws_no_random_number(tmp_path: Path) -> None:
    lora = longlive(tmp_path)
    model = tiny_transformer()
    before = torch.get_rng_state()
    LoraAdapter(model, lora)
    assert torch.equal(torch.get_rng_state(), before)


def test_bfloat16_weights_are_rounded_once(tmp_path: Path) -> None:
    lora = longlive(tmp_path)
    model = tiny_transformer().bfloat16()
    weight = model.state_dict()["blocks.0.attn1.to_q.weight"]
    a, b = pairs()["blocks.0.self_attn.q"]
    right = (weight.double() + b.double() @ a.double()).bfloat16()
    LoraAdapter(model, lora).merge()
    merged = model.state_dict()["blocks.0.attn1.to_q.weight"]
    assert merged.dtype == torch.bfloat16
    assert (merged != right).float().mean() < 1e-3


def other(**layers: tuple[Tensor, Tensor]) -> Callable[[Path], Path]:
    return save(
        lambda: {
            f"{name.replace('__', '.')}.{side}.weight": tensor.clone()
            for name, sides in layers.items()
            for side, tensor in zip(("lora_A", "lora_B"), sides, strict=True)
        }
    )


A, B = torch.ones(2, TINY_WAN.dim), torch.ones(TINY_WAN.dim, 2)
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "more layers": (
        other(blocks__0__attn1__to_q=(A, B), blocks__7__attn1__to_q=(A, B), blocks__8__attn1__to_q=(A, B)),
        r"made for another model: this one has no layer blocks\.7\.attn1\.to_q, blocks\.8\.attn1\.to_q",
    ),
    "other width": (
        other(blocks__0__attn1__to_q=(torch.ones(2, 128), torch.ones(128, 2))),
        r"it changes blocks\.0\.attn1\.to_q of the shape \(128, 128\), here it is \(96, 96\); give the model",
    ),
    "image-to-video": (other(blocks__0__cross_attn__k_img=(A, B)), r"no layer blocks\.0\.attn2\.add_k_proj"),
    "other network": (other(down_blocks__0__conv=(A, B)), r"no Wan transformer has \(down_blocks\.0\.conv\)"),
    "one side": (
        save(lambda: {"blocks.0.attn1.to_q.lora_A.weight": A}),
        r"blocks\.0\.attn1\.to_q has only one of its two matrices",
    ),
    "ranks": (other(blocks__0__attn1__to_q=(A, torch.ones(96, 3))), "which do not multiply"),
    "whole weights": (save(lambda: {"blocks.0.attn1.to_q.diff": A}), r"to_q\.diff is no low-rank change"),
    "a base model": (save(lambda: tiny_transformer().state_dict()), r"\.weight is no low-rank change"),
    "integers": (other(blocks__0__attn1__to_q=(A.int(), B.int())), "is stored as int32"),
    "alpha": (
        save(lambda: {"blocks.0.attn1.to_q.alpha": torch.ones(2), **spelled("lora_A", "lora_B", translated)}),
        r"the alpha of blocks\.0\.attn1\.to_q is no number",
    ),
    "dora": (
        save(
            lambda: spelled("lora_A", "lora_B", translated), {"lora_adapter_metadata": '{"use_dora": true}'}
        ),
        "uses use_dora",
    ),
    "metadata": (
        save(lambda: spelled("lora_A", "lora_B", translated), {"lora_adapter_metadata": "["}),
        "its lora_adapter_metadata is damaged",
    ),
    "cut": (save_pt(lambda: [1]), "holds a list"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_before_anything_changes(case: str, tmp_path: Path) -> None:
    write, message = BAD[case]
    path = write(tmp_path)
    model = tiny_transformer()
    with pytest.raises(UserError, match=message) as refused:
        LoraAdapter(model, read_lora(path, allow_pt=True))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert torch.equal(output(model), output(tiny_transformer()))
    assert model.state_dict().keys() == tiny_transformer().state_dict().keys()


def off_loaded(model: WanTransformer) -> None:
    model.blocks[1].to("meta")


def quantised(model: WanTransformer) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    quantization.quantize_(model.blocks, quantization.Int8WeightOnlyConfig())


@pytest.mark.parametrize("change", [off_loaded, quantised])
def test_weights_that_are_no_plain_numbers_are_refused(change: Callable[..., None], tmp_path: Path) -> None:
    model, lora = tiny_transformer(), longlive(tmp_path)
    change(model)
    with pytest.raises(UserError, match="comes too late: the weights are quantised or off-loaded"):
        LoraAdapter(model, lora)
    with pytest.raises(UserError, match="comes too late"):
        lora.merge_into(model)
    assert not any("lora_" in name for name in model.state_dict())


def test_an_alpha_from_outside_counts_where_the_file_says_none(tmp_path: Path) -> None:
    path = LORAS["LongLive"][0](tmp_path)
    first = translated("blocks.0.self_attn.q")
    assert read_lora(path, alpha=7.5, allow_pt=True).layers[first].alpha == 7.5
    assert read_lora(path, allow_pt=True).layers[first].alpha == RANK
    assert read_lora(LORAS["kohya"][0](tmp_path), alpha=7.5).layers[first].alpha == 1.5


def test_a_pt_is_not_opened_unless_allowed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only safetensors are opened here"):
        read_lora(LORAS["LongLive"][0](tmp_path))
