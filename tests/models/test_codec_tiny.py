"""The tiny autoencoder: its files, its two latent spaces, its first frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from longtake.errors import UserError
from longtake.models.tiny_codec import LIGHT_TAE, TinyCodec, TinyCodecConfig
from tests.models.test_codec_contract import difference, some_frames, some_latents, tiny_codec


@pytest.fixture(scope="module")
def codec() -> TinyCodec:
    return tiny_codec()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_published_files_load_and_wider_growth_keeps_its_last_step(
    codec: TinyCodec, tmp_path: Path, suffix: str
) -> None:
    state = codec.state_dict()
    name = "decoder.7.conv.weight"  # grows time by 1 here, by 2 in some files
    state[name] = torch.cat([torch.randn(state[name].shape), state[name]])
    path = tmp_path / f"taew2_1{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    loaded = TinyCodec.from_pretrained(path, config=codec.config, allow_pt=True)
    latents = some_latents(codec, 2)
    assert torch.equal(loaded.decode(latents, loaded.start()), codec.decode(latents, codec.start()))


def test_folders_round_trip(codec: TinyCodec, tmp_path: Path) -> None:
    codec.save_pretrained(tmp_path)
    loaded = TinyCodec.from_pretrained(tmp_path)
    assert loaded.config == codec.config
    latents = some_latents(codec, 2)
    assert torch.equal(loaded.decode(latents, loaded.start()), codec.decode(latents, codec.start()))
    (tmp_path / "config.json").write_text('{"_class_name": "TinyCodec", "colour": 1}')
    with pytest.raises(UserError, match="unknown fields: colour"):
        TinyCodec.from_pretrained(tmp_path)


def test_files_that_do_not_fit_are_refused(codec: TinyCodec, tmp_path: Path) -> None:
    state = codec.state_dict()
    torch.save(state, tmp_path / "taew2_1.pth")
    with pytest.raises(UserError, match="only safetensors are opened here"):
        TinyCodec.from_pretrained(tmp_path / "taew2_1.pth", config=codec.config)
    with pytest.raises(UserError, match="of another shape"):
        TinyCodec.from_pretrained(tmp_path / "taew2_1.pth", allow_pt=True)
    del state["encoder.0.bias"]
    save_file(state, tmp_path / "short.safetensors")
    with pytest.raises(UserError, match=r"1 missing \(encoder.0.bias\)"):
        TinyCodec.from_pretrained(tmp_path / "short.safetensors", config=codec.config)
    torch.save({"weights": [1, 2]}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="something other than named tensors"):
        TinyCodec.from_pretrained(tmp_path / "other.pth", allow_pt=True)


def test_weights_on_the_vaes_latents_take_mean_and_deviation(codec: TinyCodec) -> None:
    mean, std = (0.3, -0.2, 0.1, -0.4, 0.6), (1.5, 0.7, 2.0, 0.9, 1.1)
    light = TinyCodec(replace(codec.config, latents_mean=mean, latents_std=std)).eval()
    light.load_state_dict(codec.state_dict())
    latents, frames = some_latents(codec, 2), some_frames(codec, 2)
    shift, scale = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (mean, std))
    wanted = codec.decode_float(latents * scale + shift, codec.start())
    assert torch.equal(light.decode_float(latents, light.start()), wanted)
    wanted = (codec.encode(frames, codec.start()) - shift) / scale
    assert torch.equal(light.encode(frames, light.start()), wanted)
    assert len(LIGHT_TAE.latents_std) == LIGHT_TAE.latent_channels


def test_the_first_latent_frame_follows_from_the_first_frame_alone(codec: TinyCodec) -> None:
    frames = some_frames(codec, 2)
    latents = codec.encode(frames, codec.start())
    changed = frames.clone()
    changed[:, 1:] = 255 - changed[:, 1:]
    assert torch.equal(codec.encode(changed, codec.start())[:, :, :1], latents[:, :, :1])


def test_half_precision_stays_close(codec: TinyCodec) -> None:
    latents = some_latents(codec, 2)
    wanted = codec.decode_float(latents, codec.start())
    half = tiny_codec().to(torch.bfloat16)
    pixels = half.decode_float(latents, half.start())
    assert pixels.dtype == torch.bfloat16
    assert torch.allclose(pixels.float(), wanted, atol=0.1), difference(pixels, wanted)
    assert half.encode(some_frames(half, 2), half.start()).dtype == torch.bfloat16


def test_configs_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="gives back as many frames"):
        TinyCodecConfig(grown=(1, 1, 2))
    with pytest.raises(UserError, match="2 entries for 16 channels"):
        TinyCodecConfig(latents_mean=(0.0, 1.0))
