"""Key maps at full size against the published layouts, which `published.py` writes from their rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
import torch
from diffusers import WanTransformer3DModel

from longtake.models.keymap import Layout, detect_layout, rename
from longtake.models.wan import WanConfig, WanTransformer
from tests.models.published import Shapes, diffusers, fastvideo, original

SMALL = WanConfig()
LARGE = WanConfig(num_attention_heads=40, ffn_dim=13824, num_layers=40)
LARGE_I2V = replace(LARGE, in_channels=36, image_dim=1280, added_kv_proj_dim=5120)
LARGE_FLF2V = replace(LARGE_I2V, pos_embed_seq_len=514)
ALL = {"1.3B": SMALL, "14B": LARGE, "I2V-14B": LARGE_I2V, "FLF2V-14B": LARGE_FLF2V}
WRITERS: dict[Layout, Callable[[WanConfig], Shapes]] = {
    Layout.ORIGINAL: original,
    Layout.DIFFUSERS: diffusers,
    Layout.FASTVIDEO: fastvideo,
}
PUBLISHED = {"1.3B": (825, 1_418_996_800), "14B": (1095, 14_288_491_584)}


def count(shapes: Shapes) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes.values())


@pytest.mark.parametrize("size", PUBLISHED)
@pytest.mark.parametrize("layout", Layout)
def test_the_layouts_have_the_published_counts(size: str, layout: Layout) -> None:
    shapes = WRITERS[layout](ALL[size])
    assert (len(shapes), count(shapes)) == PUBLISHED[size]


@pytest.mark.parametrize("size", ALL)
def test_full_size_model_has_every_published_key_and_shape(size: str) -> None:
    with torch.device("meta"):
        state = WanTransformer(ALL[size]).state_dict()
    ours = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert ours == diffusers(ALL[size])
    back = {rename(name, Layout.DIFFUSERS, Layout.ORIGINAL): shape for name, shape in ours.items()}
    assert back == original(ALL[size])


@pytest.mark.parametrize("size", ALL)
def test_diffusers_own_model_has_the_same_keys(size: str) -> None:
    config = replace(ALL[size], num_layers=2)
    with torch.device("meta"):
        theirs = WanTransformer3DModel(**asdict(config))
    assert {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()} == diffusers(config)


@pytest.mark.parametrize("size", ALL)
@pytest.mark.parametrize("source", Layout)
@pytest.mark.parametrize("target", Layout)
def test_names_go_there_and_back(size: str, source: Layout, target: Layout) -> None:
    there = {rename(key, source, target): key for key in WRITERS[source](ALL[size])}
    assert there.keys() == WRITERS[target](ALL[size]).keys()
    assert all(name and rename(name, target, source) == key for name, key in there.items())


def test_the_norm_that_has_weights_trades_places() -> None:
    assert rename("blocks.7.norm3.bias", Layout.ORIGINAL, Layout.DIFFUSERS) == "blocks.7.norm2.bias"
    assert rename("blocks.7.norm2.bias", Layout.DIFFUSERS, Layout.ORIGINAL) == "blocks.7.norm3.bias"
    assert rename("blocks.7.norm2.bias", Layout.ORIGINAL, Layout.DIFFUSERS) is None
    assert rename("head.modulation", Layout.ORIGINAL, Layout.DIFFUSERS) == "scale_shift_table"
    assert rename("blocks.7.modulation", Layout.ORIGINAL, Layout.DIFFUSERS) == "blocks.7.scale_shift_table"


@pytest.mark.parametrize("layout", Layout)
def test_a_layout_is_known_by_its_names(layout: Layout) -> None:
    assert detect_layout(WRITERS[layout](SMALL)) is layout
    assert detect_layout(["encoder.conv1.weight"]) is None


@pytest.mark.parametrize(
    "key", ["blocks.0.self_attn.x.weight", "blocks.q.norm3.weight", "tail", "head.head.scale"]
)
def test_names_that_a_layout_lacks_have_no_translation(key: str) -> None:
    assert rename(key, Layout.ORIGINAL, Layout.DIFFUSERS) is None
