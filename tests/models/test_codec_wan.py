"""The Wan codec streams what diffusers' VAE does in one call."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan

from longtake.errors import UserError
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


def test_normalisation_of_the_wrong_length_is_refused() -> None:
    vae = AutoencoderKLWan(base_dim=4, z_dim=4, dim_mult=[1, 2, 2, 2], num_res_blocks=1)
    with pytest.raises(UserError, match="16 entries for 4 channels"):
        WanCodec(vae)
