"""The Wan codec streams what diffusers' VAE does in one call."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file

from longtake.errors import UserError
from longtake.models.vae_keymap import to_original
from longtake.models.wan_codec import WanCodec
from tests.models.test_codec_contract import difference, redraw, some_frames, some_latents, wan_codec

WAN_22 = {
    "is_residual": True,
    "patch_size": 2,
    "in_channels": 12,
    "out_channels": 12,
    "scale_factor_spatial": 16,
}


def make(**changes: object) -> WanCodec:
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        latents_mean=[0.3, -0.2, 0.1, -0.4],
        latents_std=[1.5, 0.7, 2.0, 0.9],
        **changes,
    )
    redraw(vae, 5)
    return WanCodec(vae)


@pytest.mark.parametrize("changes", [{}, WAN_22], ids=["wan 2.1", "wan 2.2"])
def test_streamed_decode_equals_diffusers(changes: dict[str, object]) -> None:
    codec = make(**changes)
    latents = some_latents(codec, 4)
    state = codec.start()
    streamed = torch.cat([codec.decode_float(part, state) for part in latents.split([1, 2, 1], dim=2)], dim=2)
    with torch.no_grad():
        whole = codec.vae.decode(latents * codec.std + codec.mean).sample
    assert streamed.shape == whole.shape
    assert torch.allclose(streamed, whole, atol=1e-5), difference(streamed, whole)


@pytest.mark.parametrize("changes", [{}, WAN_22], ids=["wan 2.1", "wan 2.2"])
def test_streamed_encode_equals_diffusers(changes: dict[str, object]) -> None:
    codec = make(**changes)
    frames = some_frames(codec, 4)
    state = codec.start()
    streamed = torch.cat([codec.encode(part, state) for part in frames.split([1, 8, 4], dim=1)], dim=2)
    with torch.no_grad():
        moments = codec.vae.encode(frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0).latent_dist
    whole = (moments.mode() - codec.mean) / codec.std
    assert torch.allclose(streamed, whole, atol=1e-5), difference(streamed, whole)


def test_state_holds_the_mark_and_empty_slots() -> None:
    codec, state = wan_codec(), wan_codec().start()
    codec.decode(some_latents(codec, 1), state)
    assert state.decoder.slots.count("Rep") == 2
    assert None in state.decoder.slots
    restored = codec.start()
    restored.restore(state.snapshot())
    assert [type(slot) for slot in restored.decoder.slots] == [type(slot) for slot in state.decoder.slots]
    codec.decode(some_latents(codec, 1), state)
    assert "Rep" not in state.decoder.slots


def test_state_of_another_vae_is_refused() -> None:
    codec, state = wan_codec(), wan_codec().start()
    codec.decode(some_latents(codec, 1), state)
    state.decoder.slots.append(None)
    with pytest.raises(UserError, match="its own model"):
        codec.decode(some_latents(codec, 1), state)


def test_folder_round_trip_and_missing_folder(tmp_path: Path) -> None:
    codec = wan_codec()
    codec.vae.save_pretrained(tmp_path / "vae")
    loaded = WanCodec.from_pretrained(tmp_path / "vae")
    latents = some_latents(codec, 2)
    assert torch.equal(loaded.decode(latents, loaded.start()), codec.decode(latents, codec.start()))
    with pytest.raises(UserError, match="no Wan VAE can be read"):
        WanCodec.from_pretrained(tmp_path / "nowhere")


CONFIG = {
    "base_dim": 4,
    "z_dim": 4,
    "dim_mult": [1, 2, 2, 2],
    "num_res_blocks": 1,
    "latents_mean": [0.3, -0.2, 0.1, -0.4],
    "latents_std": [1.5, 0.7, 2.0, 0.9],
}


@pytest.mark.parametrize("layout", ["published", "diffusers"])
def test_single_files_load_in_either_layout(tmp_path: Path, layout: str) -> None:
    codec = wan_codec()
    state = codec.vae.state_dict()
    path = tmp_path / "vae.safetensors"
    save_file(to_original(state, num_res_blocks=1) if layout == "published" else state, path)
    loaded = WanCodec.from_pretrained(path, config=CONFIG)
    latents = some_latents(codec, 2)
    assert torch.equal(loaded.decode(latents, loaded.start()), codec.decode(latents, codec.start()))


def test_files_that_are_no_wan_vae_are_refused(tmp_path: Path) -> None:
    state = to_original(wan_codec().vae.state_dict(), num_res_blocks=1)
    torch.save(state, tmp_path / "vae.pth")
    with pytest.raises(UserError, match="longtake convert"):
        WanCodec.from_pretrained(tmp_path / "vae.pth", config=CONFIG)
    with pytest.raises(UserError, match="does not fit its config"):
        WanCodec.from_pretrained(tmp_path / "vae.pth", allow_pt=True)
    save_file(state | {"encoder.downsamples.0.other.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(UserError, match="1 unexpected"):
        WanCodec.from_pretrained(tmp_path / "more.safetensors", config=CONFIG)
    save_file(state | {"temporal.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"'temporal.weight' is no tensor of a Wan 2.1 VAE"):
        WanCodec.from_pretrained(tmp_path / "other.safetensors", config=CONFIG)


def test_raw_encoding_leaves_mean_and_deviation_out_and_decoding_does_not() -> None:
    codec = wan_codec()
    raw = WanCodec(codec.vae, raw_encode=True)
    frames, latents = some_frames(codec, 2), some_latents(codec, 2)
    normalised = codec.encode(frames, codec.start())
    left_raw = raw.encode(frames, raw.start())
    assert torch.allclose((left_raw - codec.mean) / codec.std, normalised, atol=1e-6)
    assert not torch.allclose(left_raw, normalised, atol=0.1)
    assert torch.equal(raw.decode(latents, raw.start()), codec.decode(latents, codec.start()))


def test_half_precision_stays_close(tmp_path: Path) -> None:
    codec = wan_codec()
    codec.vae.save_pretrained(tmp_path)
    half = WanCodec.from_pretrained(tmp_path, torch.bfloat16)
    latents = some_latents(codec, 2)
    wanted = codec.decode_float(latents, codec.start())
    pixels = half.decode_float(latents, half.start())
    assert pixels.dtype == torch.bfloat16
    assert (pixels.float() - wanted).abs().mean() < 0.02, difference(pixels, wanted)
    assert half.encode(some_frames(half, 2), half.start()).dtype == torch.bfloat16


def test_normalisation_of_the_wrong_length_is_refused() -> None:
    vae = AutoencoderKLWan(base_dim=4, z_dim=4, dim_mult=[1, 2, 2, 2], num_res_blocks=1)
    with pytest.raises(UserError, match="16 entries for 4 channels"):
        WanCodec(vae)
