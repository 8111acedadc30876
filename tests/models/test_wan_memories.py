"""Short-term and long-term memory of a Wan-shaped transformer: nothing when fresh, something when trained."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.measure.random_weights import redraw
from longtake.models.attention import WholeClip
from longtake.models.streaming.apm import ApmNetwork
from longtake.models.streaming.cam import AttendingCam
from longtake.models.streaming.config import FUSIONS, CamConfig, Fusion
from longtake.models.streaming.encoder import LatentEncoder
from longtake.models.streaming.networks import (
    MemoryNetworks,
    apm_config,
    cam_config,
    open_apm,
    open_cam,
    short_term,
)
from longtake.models.wan import WanTransformer
from tests.tiny import TINY_WAN, tiny_transformer

T, P, L = 4, 2, 5
BACKBONE = tiny_transformer()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LATENTS = draw(2, TINY_WAN.in_channels, T, 4, 6)
PAST = draw(2, TINY_WAN.in_channels, P, 4, 6, seed=1)
TIME = torch.tensor([[700.0]]).expand(2, T)
TEXT = draw(2, L, TINY_WAN.text_dim, seed=2)


def cam(fusion: Fusion = "attend"):  # type: ignore[no-untyped-def]
    network = short_term(cam_config(TINY_WAN, last_layers=1, fusion=fusion))
    network.begin_from(BACKBONE)
    return network.eval().requires_grad_(False)


def apm() -> ApmNetwork:
    return ApmNetwork(apm_config(TINY_WAN, text_tokens=L, width=8, hidden=16)).eval().requires_grad_(False)


def predicted(network, past: Tensor = PAST, backbone: WanTransformer = BACKBONE) -> Tensor:  # type: ignore[no-untyped-def]
    return network.predict(backbone, LATENTS, TIME, TEXT, network.encode(past))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_fresh_short_term_memory_changes_nothing(fusion: Fusion) -> None:
    plain = BACKBONE(LATENTS, TIME, TEXT)
    torch.testing.assert_close(predicted(cam(fusion)), plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_trained_one_depends_on_what_came_before(fusion: Fusion) -> None:
    network = cam(fusion)
    redraw(cast(nn.Module, network), 3)
    plain, one, two = BACKBONE(LATENTS, TIME, TEXT), predicted(network), predicted(network, PAST + 0.5)
    assert (one - plain).abs().max() > 1e-3
    assert (one - two).abs().max() > 1e-3


def test_only_the_zero_tensors_keep_it_silent() -> None:
    network = cam()
    for layer in network.layers.values():
        layer.to_out.weight.copy_(0.2 * draw(*layer.to_out.weight.shape, seed=5))
    assert (predicted(network) - BACKBONE(LATENTS, TIME, TEXT)).abs().max() > 1e-3


def test_a_clip_that_shows_the_past_again_sees_it_where_it_stands() -> None:
    """With values and keys of the block's own, the order of the frames before matters, and so do their cells."""
    network = cam()
    redraw(network, 3)
    for turned in (PAST.flip(2), PAST.roll(1, -1)):
        assert (predicted(network) - predicted(network, turned)).abs().max() > 1e-3


def test_the_encoder_begins_as_the_transformers_first_blocks_see_clean_frames() -> None:
    """Against the transformer itself at timestep 0, its text attention taken out."""
    backbone = tiny_transformer(seed=4)
    for block in backbone.blocks:
        out = block.attn2.to_out[0]
        out.weight.zero_()
        out.bias.zero_()
    encoder = LatentEncoder(cam_config(TINY_WAN, last_layers=1)).eval()
    encoder.begin_from(backbone)
    seen: list[Tensor] = []
    handle = backbone.blocks[-1].register_forward_hook(lambda _, __, x: seen.append(x))
    backbone(PAST, torch.zeros(2, P), TEXT)
    handle.remove()
    grid = TINY_WAN.grid(4, 6)
    x = encoder.patch_embedding(PAST).flatten(2).transpose(1, 2)
    for block in encoder.blocks:
        x = block(x, WholeClip(grid=grid, positions=tuple(range(P))))
    torch.testing.assert_close(x, seen[0].flatten(1, 2), atol=1e-4, rtol=1e-4)


def test_a_fresh_long_term_memory_changes_nothing_and_a_trained_one_does() -> None:
    network = apm()
    image = network.tokens(network.embed(draw(2, TINY_WAN.in_channels, 4, 6, seed=6)))
    assert image.shape == (2, 16, TINY_WAN.dim)
    plain = BACKBONE(LATENTS, TIME, TEXT)
    fresh = BACKBONE(LATENTS, TIME, network.context(BACKBONE, TEXT, image))
    torch.testing.assert_close(fresh, plain, atol=1e-6, rtol=0)
    for mixing in network.mixings:
        mixing.alpha.fill_(0.7)
    one, two = (
        BACKBONE(LATENTS, TIME, network.context(BACKBONE, TEXT, tokens)) for tokens in (image, image.flip(0))
    )
    assert (one - plain).abs().max() > 1e-3
    assert (one - two).abs().max() > 1e-3


def test_mixing_is_the_papers_sixth_equation() -> None:
    mixing = apm().mixings[0]
    mixing.alpha.fill_(0.4)
    text, image = draw(1, L, TINY_WAN.dim), draw(1, 16, TINY_WAN.dim, seed=9)
    rows = torch.cat([text, image], 1)[0].double()
    weight, bias = mixing.conv.weight.double(), mixing.conv.bias.double()
    padded = torch.nn.functional.pad(rows, (1, 1))
    mixed = torch.stack(
        [
            sum(
                (
                    weight[o, i, j] * padded[i, j : j + rows.shape[1]]
                    for i in range(len(rows))
                    for j in range(3)
                ),
                start=bias[o],
            )
            for o in range(L)
        ]
    )
    normed = (mixed - mixed.mean(-1, keepdim=True)) / (
        mixed.var(-1, correction=0, keepdim=True) + 1e-5
    ).sqrt()
    normed = normed * mixing.norm.weight.double() + mixing.norm.bias.double()
    silu = 0.4 / (1 + torch.exp(torch.tensor(-0.4, dtype=torch.float64)))
    expected = text[0].double() + silu * normed
    torch.testing.assert_close(mixing(text, image)[0].double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_memories_lie_beside_the_transformer_and_open_again(fusion: Fusion, tmp_path: Path) -> None:
    network, anchors = cam(fusion), apm()
    redraw(network, 3)
    redraw(anchors, 4)
    MemoryNetworks(cam=network, apm=anchors).save(tmp_path, dtype=None)
    BACKBONE.save_pretrained(tmp_path / "transformer")
    assert {path.name for path in tmp_path.iterdir()} == {"cam", "apm", "transformer"}
    again = open_cam(tmp_path / "cam", TINY_WAN)
    assert torch.equal(predicted(again), predicted(network))
    picture = draw(1, TINY_WAN.in_channels, 4, 6)
    assert torch.equal(open_apm(tmp_path / "apm", TINY_WAN).embed(picture), anchors.embed(picture))


def test_half_precision_is_what_is_stored_unless_asked(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    MemoryNetworks(cam=cam()).save(tmp_path)
    stored = load_file(tmp_path / "cam" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}


def test_memories_of_another_transformer_are_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    MemoryNetworks(cam=cam(), apm=apm()).save(tmp_path)
    other = replace(TINY_WAN, num_layers=1)
    with pytest.raises(UserError, match="of another transformer"):
        open_cam(tmp_path / "cam", other)
    with pytest.raises(UserError, match="of another transformer"):
        open_apm(tmp_path / "apm", other)


def test_impossible_sizes_are_refused_in_words() -> None:
    with pytest.raises(UserError, match="cannot show 4 again"):
        cam_config(TINY_WAN, last_layers=1, frames=4)
    with pytest.raises(UserError, match="fusion 'mix' of a memory is unknown; known: attend, add, concat"):
        cam_config(TINY_WAN, last_layers=1, fusion="mix")
    with pytest.raises(UserError, match="too much or too little"):
        CamConfig.from_dict({"dim": 3})
    network = ApmNetwork(apm_config(TINY_WAN, text_tokens=7))
    with pytest.raises(UserError, match="gives 5 rows a prompt, the long-term memory mixes 7"):
        network.context(BACKBONE, TEXT, torch.zeros(2, 16, TINY_WAN.dim))


def test_gradients_reach_every_trained_tensor_but_what_stands_behind_zeros() -> None:
    network = AttendingCam(cam_config(TINY_WAN, last_layers=2))
    network.begin_from(BACKBONE)
    predicted(network).square().mean().backward()
    moving = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert {name for name in moving if "to_out" in name and name.startswith("layers")} == moving
