"""The 3-D UNets: diffusers' own as it is, and the published refiner's paddings and names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from diffusers import UNet3DConditionModel
from torch import Tensor
from torch.nn import functional as F

from longtake.enhance.enhancer import Enhancer
from longtake.enhance.levels import Level
from longtake.enhance.refiner import PUBLISHED_FILE, refiner_name, refiner_state, refiner_unet
from longtake.enhance.spec import SPEC_FILE
from longtake.enhance.unet import UNetDenoiser, UNetText
from longtake.errors import UserError
from tests.enhance.tiny import clip
from tests.tiny_streaming import tiny_clip_text, tiny_kl_codec

SIZES: dict[str, Any] = {
    "block_out_channels": (8, 8, 8, 8),
    "layers_per_block": 2,
    "cross_attention_dim": 12,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}
PARAMETERS = 1_411_233_860
AT = Level(timestep=499.0, alpha=0.6, sigma=0.8)


def filled(unet: Any, seed: int = 0) -> Any:
    """Every parameter drawn, the zero-initialised ones too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in unet.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)
    return unet.eval().requires_grad_(False)


def latents(rows: int = 10, columns: int = 8, seed: int = 1) -> Tensor:
    return torch.randn(1, 4, 3, rows, columns, generator=torch.Generator().manual_seed(seed))


def denoiser(unet: Any, **changes: Any) -> UNetDenoiser:
    values = {"prediction": "epsilon", "guidance_scale": 3.0} | changes
    return UNetDenoiser(unet=unet, text_encoder=tiny_clip_text(), **values)


@pytest.fixture(scope="module")
def stock() -> Any:
    return filled(UNet3DConditionModel(**SIZES))


@pytest.fixture(scope="module")
def refiner() -> Any:
    return filled(refiner_unet(SIZES))


def test_clean_latents_follow_from_guided_noise(stock: Any) -> None:
    x, ours = latents(8), denoiser(stock)
    text = ours.read("a red sphere")
    told, untold = (stock(x, 499, encoder_hidden_states=rows).sample for rows in text)
    noise = untold + 3.0 * (told - untold)
    torch.testing.assert_close(ours.clean(x, AT, text), (x - 0.8 * noise) / 0.6, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(told, untold, atol=1e-3)


def test_v_prediction_and_rescaled_guidance(stock: Any) -> None:
    x, ours = latents(8), denoiser(stock, prediction="v", guidance_rescale=0.2)
    text = ours.read("a red sphere")
    told, untold = (stock(x, 499, encoder_hidden_states=rows).sample for rows in text)
    out = untold + 3.0 * (told - untold)
    out = out * (0.2 * told.std() / out.std() + 0.8)
    torch.testing.assert_close(ours.clean(x, AT, text), 0.6 * x - 0.8 * out, atol=1e-4, rtol=1e-4)


def test_without_guidance_the_network_runs_once(stock: Any) -> None:
    ours = denoiser(stock, guidance_scale=1.0)
    assert ours.read("a red sphere").empty is None
    x, text = latents(8), UNetText(torch.zeros(1, 7, 12), None)
    noise = stock(x, 499, encoder_hidden_states=text.prompt).sample
    torch.testing.assert_close(ours.clean(x, AT, text), (x - 0.8 * noise) / 0.6, atol=1e-5, rtol=1e-4)


def test_rows_halve_and_double_as_published() -> None:
    """90 × 160 latents: 46, 24, 13 rows on the way down, and 90 again at the end."""
    seen: list[tuple[int, ...]] = []
    unet = refiner_unet(SIZES)
    for block in (*unet.down_blocks, *unet.up_blocks):
        for part in (
            *(getattr(block, "downsamplers", None) or ()),
            *(getattr(block, "upsamplers", None) or ()),
        ):
            part.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape[-2:])))
    with torch.device("meta"):
        text = torch.empty(1, 7, 12)
        x = torch.empty(1, 4, 2, 90, 160)
    out = unet.to("meta")(x, 599, encoder_hidden_states=text).sample
    assert out.shape == x.shape
    assert seen == [(46, 80), (24, 40), (13, 20), (24, 40), (46, 80), (90, 160)]


def test_the_refiners_ends_differ_from_the_stock_networks(refiner: Any) -> None:
    """The halving convolution sees two rows of zeros above, one column beside; after doubling a row is gone."""
    down = refiner.down_blocks[0].downsamplers[0]
    x = torch.randn(2, 8, 10, 8, generator=torch.Generator().manual_seed(0))
    padded = F.pad(x, (1, 1, 2, 2))
    expected = F.conv2d(padded, down.conv.weight, down.conv.bias, stride=2)
    torch.testing.assert_close(down(x), expected)
    up = refiner.up_blocks[0].upsamplers[0]
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, 1:-1]
    torch.testing.assert_close(up(x), F.conv2d(doubled, up.conv.weight, up.conv.bias, padding=1))


def test_sizes_that_the_refiner_cannot_make_are_refused(refiner: Any) -> None:
    ours = denoiser(refiner, prediction="v", is_refiner=True)
    text = ours.read("a red sphere")
    assert ours.clean(latents(10), AT, text).shape == (1, 4, 3, 10, 8)
    with pytest.raises(UserError, match=r"size 64x64 cannot be made by the refiner: .* use 64x80|use 64x"):
        ours.clean(latents(8), AT, text)


def published(name: str) -> str:
    """The published name of a parameter of diffusers', written the other way round from what is tested."""
    block = re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", name)
    if block is None:
        return _published_outside(name)
    side, number, kind, layer, rest = block[1], int(block[2]), block[3], int(block[4]), block[5]
    place = 3 * number + layer + (1 if side == "down" else 0)
    prefix = f"{'in' if side == 'down' else 'out'}put_blocks.{place}"
    if kind == "downsamplers":
        return f"input_blocks.{3 * number + 3}.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        last = 1 if number == 0 else 3  # behind the attentions, where the block has them
        return f"output_blocks.{3 * number + 2}.{last}.{rest}"
    return f"{prefix}.{_part(kind, rest)}"


def _part(kind: str, rest: str) -> str:
    if kind == "attentions":
        return f"1.{rest}"
    if kind == "temp_attentions":
        return f"2.{rest}"
    if kind == "temp_convs":
        return f"0.temopral_conv.{rest}"
    named = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
    named |= {"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
    first, _, tail = rest.partition(".")
    return f"0.{named[first]}.{tail}"


def _published_outside(name: str) -> str:
    middle = re.match(r"mid_block\.(\w+)\.(\d)\.(.*)", name)
    if middle is not None:
        kind, layer, rest = middle[1], int(middle[2]), middle[3]
        if kind in ("attentions", "temp_attentions"):
            return f"middle_block.{1 if kind == 'attentions' else 2}.{rest}"
        return f"middle_block.{3 * layer}.{_part(kind, rest).removeprefix('0.')}"
    for ours, theirs in {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "transformer_in": "input_blocks.0.1",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }.items():
        if name.startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    raise AssertionError(name)


def test_every_published_key_has_its_place_at_full_size() -> None:
    with torch.device("meta"):
        unet = refiner_unet()
    own = unet.state_dict()
    assert sum(value.numel() for value in own.values()) == PARAMETERS
    names = {published(name): name for name in own}
    assert len(names) == len(own)
    wrong = {old: (refiner_name(old), new) for old, new in names.items() if refiner_name(old) != new}
    assert not wrong, wrong
    with pytest.raises(UserError, match="no parameter of the published refiner"):
        refiner_name("controlnet.weight")


def published_state(unet: Any) -> dict[str, Tensor]:
    """As the published file has it: its names, temporal projections as convolutions."""
    state = {}
    for name, value in unet.state_dict().items():
        temporal = "temp_attentions" in name or name.startswith("transformer_in")
        is_projection = temporal and re.search(r"proj_(in|out)\.weight$", name)
        state[published(name)] = value[..., None].clone() if is_projection else value.clone()
    return state


def test_a_published_state_gives_the_same_network(refiner: Any) -> None:
    other = refiner_unet(SIZES)
    other.load_state_dict(refiner_state(published_state(refiner)))
    other.requires_grad_(False)
    text = torch.randn(1, 7, 12, generator=torch.Generator().manual_seed(2))
    one, two = (unet.eval()(latents(), 300, encoder_hidden_states=text).sample for unet in (refiner, other))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["unet", "refiner"])
@pytest.mark.filterwarnings("ignore:the enhancer of small was trained at")
def test_a_folder_in_diffusers_layout_enhances(kind: str, stock: Any, refiner: Any, tmp_path: Path) -> None:
    text = tiny_clip_text()
    tiny_kl_codec().vae.save_pretrained(tmp_path / "vae")
    text.encoder.save_pretrained(tmp_path / "text_encoder")
    text.tokenizer.save(tmp_path / "tokenizer")
    stock.save_pretrained(tmp_path / "unet")
    if kind == "refiner":
        torch.save(published_state(refiner), tmp_path / PUBLISHED_FILE)
    schedule = {"kind": "dpm-sde"} if kind == "refiner" else {"kind": "ddim"}
    values = {
        "name": "small",
        "licence": "none",
        "backbone": kind,
        "native": {"width": 64, "height": 80, "fps": 8},
    }
    values |= {"window": 4, "overlap": 2, "steps": 2, "scale": 2, "guidance_scale": 2.0, "schedule": schedule}
    if kind == "refiner":
        values |= {"blending": "randomized-x0-short", "guidance_rescale": 0.2}
    (tmp_path / SPEC_FILE).write_text(yaml.safe_dump(values))
    enhancer = Enhancer.from_pretrained(tmp_path)
    video = clip(7, side=64)[:, :40, :32]
    frames = [chunk.frames for chunk in enhancer.stream(video, "a red sphere", fps=8)]
    assert sum(map(len, frames)) == 7
    assert frames[0].shape[1:] == (80, 64, 3)
