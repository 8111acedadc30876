"""Layerwise off-load gives the plain model's bytes and holds one block at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import UserError
from longtake.models.offload import FileShelf, Layerwise
from longtake.models.wan import WanTransformer
from tests.tiny import TINY_WAN, tiny_transformer

CPU = torch.device("cpu")


def answer(model: WanTransformer) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(1, 16, 2, 4, 4, generator=generator).to(model.device)
    text = torch.randn(1, 5, TINY_WAN.text_dim, generator=generator).to(model.device)
    velocity: Tensor = model(latents, torch.tensor([[900.0, 300.0]], device=model.device), text)
    return velocity


def on_device(model: WanTransformer) -> set[int]:
    return {i for i, block in enumerate(model.blocks) if not any(p.is_meta for p in block.parameters())}


@pytest.fixture
def model() -> WanTransformer:
    return tiny_transformer(replace(TINY_WAN, num_layers=3))


@pytest.mark.parametrize("place", ["host", "file"])
def test_the_results_are_those_of_the_plain_model(model: WanTransformer, tmp_path: Path, place: str) -> None:
    plain = answer(model)
    model.save_pretrained(tmp_path)
    shelf = FileShelf.of(tmp_path, torch.float32) if place == "file" else None
    Layerwise(model, CPU, shelf)
    assert on_device(model) == set()
    assert torch.equal(answer(model), plain)
    assert torch.equal(answer(model), plain), "a second pass"
    assert on_device(model) == set()


def test_one_block_is_there_while_it_computes(model: WanTransformer) -> None:
    Layerwise(model, CPU)
    seen = []
    for block in model.blocks:
        block.ffn.register_forward_hook(lambda *_: seen.append(on_device(model)))
    answer(model)
    assert seen == [{0}, {1}, {2}]


def test_removing_it_brings_everything_back(model: WanTransformer) -> None:
    plain = answer(model)
    Layerwise(model, CPU).remove()
    assert on_device(model) == {0, 1, 2}
    assert torch.equal(answer(model), plain)


def test_a_file_that_is_gone_is_named(model: WanTransformer, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    shelf = FileShelf.of(tmp_path, torch.float32)
    (path,) = tmp_path.glob("*.safetensors")
    path.unlink()
    Layerwise(model, CPU, shelf)
    with pytest.raises(UserError, match=rf"{path.name} cannot be read"):
        answer(model)


def test_weights_in_another_layout_are_refused(model: WanTransformer, tmp_path: Path) -> None:
    save_file({"blocks.0.self_attn.q.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    Layerwise(model, CPU, FileShelf.of(tmp_path, torch.float32))
    with pytest.raises(UserError, match="another layout"):
        answer(model)


@pytest.mark.gpu
def test_on_a_gpu_the_results_are_the_same_and_the_next_block_comes_ahead(model: WanTransformer) -> None:
    plain = answer(model.to("cuda")).cpu()
    Layerwise(model.to("cpu"), torch.device("cuda"))
    assert torch.equal(answer(model).cpu(), plain)
