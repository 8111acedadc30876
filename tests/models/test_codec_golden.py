"""Codecs and text encoder against numbers of the published implementations, on weights in the published layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file
from torch import Tensor

from longtake.models import umt5_keymap, vae_keymap
from longtake.models.codec import Codec
from longtake.models.network import TextNetwork
from longtake.models.tiny_codec import TinyCodec, TinyCodecConfig
from longtake.models.umt5 import UMT5Encoder
from longtake.models.wan_codec import WanCodec
from tests.drawn import drawn_state

GOLDEN = Path(__file__).parents[1] / "golden"
KEYS: dict[str, dict[str, list[int]]] = json.loads((GOLDEN / "codec_keys.json").read_text())
NUMBERS = load_file(GOLDEN / "codec.safetensors")

TINY_VAE: dict[str, Any] = {
    "base_dim": 4,
    "z_dim": 4,
    "dim_mult": [1, 2, 2, 2],
    "num_res_blocks": 1,
    "latents_mean": [0.3, -0.2, 0.1, -0.4],
    "latents_std": [1.5, 0.7, 2.0, 0.9],
}
TINY_TAE = TinyCodecConfig(latent_channels=4, encoder_width=6, decoder_widths=(8, 6, 4, 4))


def shapes(state: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in state.items()}


@pytest.fixture(scope="module")
def vae_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small `Wan2.1_VAE.pth`."""
    with torch.device("meta"):
        state = vae_keymap.to_original(AutoencoderKLWan(**TINY_VAE).state_dict(), num_res_blocks=1)
    path = tmp_path_factory.mktemp("vae") / "Wan2.1_VAE.pth"
    torch.save(drawn_state(shapes(state)), path)
    return path


@pytest.fixture(scope="module", params=["wan", "tiny"])
def named(request: pytest.FixtureRequest, vae_file: Path) -> tuple[str, Codec]:
    if request.param == "wan":
        return "wan", WanCodec.from_pretrained(vae_file, config=TINY_VAE, allow_pt=True)
    codec = TinyCodec(TINY_TAE)
    codec.load_state_dict(drawn_state(shapes(codec.state_dict())))
    return "tiny", codec.eval().requires_grad_(False)


@pytest.mark.parametrize("groups", [[3], [1, 1, 1], [1, 2]], ids=str)
def test_decoded_frames_are_the_published_ones(named: tuple[str, Codec], groups: list[int]) -> None:
    name, codec = named
    state = codec.start()
    parts = [codec.decode_float(part, state) for part in NUMBERS["wan.latents"].split(groups, dim=2)]
    pixels = torch.cat(parts, dim=2)
    wanted = NUMBERS[f"{name}.decoded"] * (2 if name == "tiny" else 1) - (1 if name == "tiny" else 0)
    assert pixels.shape == wanted.shape == (1, 3, 9, 16, 24)
    assert (wanted.abs() < 1).float().mean() > 0.6, "clamping hides too much"
    assert torch.allclose(pixels, wanted, atol=1e-5), f"differs by {(pixels - wanted).abs().max():.2e}"


@pytest.mark.parametrize("groups", [[9], [1, 4, 4], [5, 4]], ids=str)
def test_encoded_latents_are_the_published_ones(named: tuple[str, Codec], groups: list[int]) -> None:
    name, codec = named
    state = codec.start()
    latents = torch.cat([codec.encode(part, state) for part in NUMBERS["frames"].split(groups, dim=1)], dim=2)
    difference = (latents - NUMBERS[f"{name}.encoded"]).abs().max()
    assert difference <= 1e-5, f"differs by {difference:.2e}"


def test_every_tensor_of_the_published_vae_has_its_place() -> None:
    with torch.device("meta"):
        theirs = shapes(AutoencoderKLWan().state_dict())
    assert len(KEYS["wan_vae"]) == 194
    assert vae_keymap.to_diffusers(KEYS["wan_vae"]) == theirs
    assert vae_keymap.to_original(theirs) == KEYS["wan_vae"]
    assert vae_keymap.is_original(KEYS["wan_vae"])
    assert not vae_keymap.is_original(theirs)


def test_every_tensor_of_the_published_text_encoder_has_its_place() -> None:
    with torch.device("meta"):
        theirs = shapes(UMT5Encoder(TextNetwork()).state_dict())
    assert len(KEYS["umt5_xxl"]) == 24 * 10 + 2
    assert umt5_keymap.to_transformers(KEYS["umt5_xxl"]) == theirs
    assert umt5_keymap.to_original(theirs) == KEYS["umt5_xxl"]
    tables = [name for name in theirs if name.endswith("relative_attention_bias.weight")]
    assert len(tables) == 24, "every layer has its own table of positions"


def test_every_tensor_of_the_published_tiny_autoencoder_has_its_place() -> None:
    with torch.device("meta"):
        assert shapes(TinyCodec().state_dict()) == KEYS["taew2_1"]
