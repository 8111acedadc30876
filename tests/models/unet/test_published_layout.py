"""The full-size network, without contents, has every tensor of the published checkpoint and no other."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet3DConditionModel

from longtake.models.unet.blocks import UNet
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.streaming import StreamingUNet

Shapes = dict[str, tuple[int, ...]]

WITH_TEXT = [
    *(f"down_blocks.{level}.attentions.{layer}" for level in range(3) for layer in range(2)),
    "mid_block.attentions.0",
    *(f"up_blocks.{level}.attentions.{layer}" for level in (1, 2, 3) for layer in range(3)),
]
SKIPS = [*[320] * 4, *[640] * 3, *[1280] * 5]


@pytest.fixture(scope="module")
def model() -> StreamingUNet:
    with torch.device("meta"):
        return StreamingUNet(UNetConfig())


def shapes(module: torch.nn.Module, prefix: str = "") -> Shapes:
    state = module.state_dict()
    return {name.removeprefix(prefix): tuple(t.shape) for name, t in state.items() if name.startswith(prefix)}


def stock() -> Shapes:
    """diffusers' defaults are the network of `text-to-video-ms-1.7b`."""
    with torch.device("meta"):
        return shapes(UNet3DConditionModel())


def conv(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def merger(name: str, channels: int) -> Shapes:
    name = f"{name}.temporal_transformer"
    square = (channels, channels)
    keys = {f"{name}.attention.to_{letter}.weight": square for letter in "qkv"}
    keys |= conv(f"{name}.proj_in", *square) | conv(f"{name}.proj_out", *square)
    return keys | conv(f"{name}.attention.to_out.0", *square) | conv(f"{name}.norm", channels)


def mixing(name: str) -> Shapes:
    name = f"{name}.transformer_blocks.0.attn2"
    return conv(f"{name}.conv", 77, 93, 3) | conv(f"{name}.conv_ln", 1024) | {f"{name}.alpha": ()}


def base_model() -> Shapes:
    keys = stock()
    for index, channels in enumerate(SKIPS):
        keys |= merger(f"cross_attention_merger_down_blocks.{index}", channels)
    keys |= merger("cross_attention_merger_mid_block", 1280)
    for name in WITH_TEXT:
        keys |= mixing(name)
    return keys


def memory() -> Shapes:
    left_out = ("up_blocks.", "conv_norm_out.", "conv_out.")
    keys = {name: shape for name, shape in stock().items() if not name.startswith(left_out)}
    name = "controlnet_cond_embedding"
    keys |= conv(f"{name}.conv_in", 32, 3, 3, 3) | conv(f"{name}.conv_out", 320, 512, 3, 3)
    channels = [(32, 32), (32, 96), (96, 96), (96, 256), (256, 256), (256, 512)]
    for index, (a, b) in enumerate(channels):
        keys |= conv(f"{name}.blocks.{index}", b, a, 3, 3)
    return keys


def tokens() -> Shapes:
    return conv("context_embedding.0", 1280, 1024) | conv("context_embedding.2", 16384, 1280)


@pytest.mark.parametrize(
    ("prefix", "published"), [("base_model.", base_model), ("unet.", memory), ("resampler.", tokens)]
)
def test_every_key_and_shape_is_the_published_one(model: StreamingUNet, prefix: str, published) -> None:  # type: ignore[no-untyped-def]
    ours, theirs = shapes(model, prefix), published()
    assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())[:5]
    assert ours == theirs


def test_there_is_nothing_else(model: StreamingUNet) -> None:
    assert {name.split(".")[0] for name in model.state_dict()} == {"base_model", "unet", "resampler"}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_are_counted_as_published(model: StreamingUNet) -> None:
    base = model.base_model
    with torch.device("meta"):
        plain = UNet(UNetConfig())
    mergers = count(base.cross_attention_merger_down_blocks) + count(base.cross_attention_merger_mid_block)
    assert count(plain) == 1_411_233_860
    assert count(model.unet) == 621_981_664
    assert count(model.unet.controlnet_cond_embedding) == 3_587_488
    assert mergers == 68_867_200
    assert count(model.resampler) == 22_299_904
    assert count(base) == count(plain) + mergers + 16 * 23_609


def test_the_memory_reads_plain_text_in_seven_layers_and_the_network_in_sixteen(model: StreamingUNet) -> None:
    assert len(model.base_model.cross_attentions) == len(WITH_TEXT) == 16
    assert len(model.unet.cross_attentions) == 7
