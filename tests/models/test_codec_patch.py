"""The patch codec: its closed form, its decoder, its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.codec import to_float
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
from longtake.models.patch_fit import fit_patch_codec
from tests.models.test_codec_contract import difference, patch_codec, some_latents

CONFIG = PatchCodecConfig(latent_channels=12, width=8, num_blocks=1, detail_channels=2, detail_width=4)


def clips(count: int = 3, *, frames: int = 9, size: int = 32) -> Iterator[Tensor]:
    """Smooth pictures that slide."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        coarse = torch.rand(2, 3, 8, 8, generator=generator)
        wide = torch.nn.functional.interpolate(coarse, size=(2 * size, 2 * size), mode="bilinear")
        views = [wide[:, :, t : t + size, 2 * t : 2 * t + size] for t in range(frames)]
        yield (torch.stack(views, 1) * 255).to(torch.uint8).permute(0, 1, 3, 4, 2)


@pytest.fixture(scope="module")
def fitted() -> PatchCodec:
    return fit_patch_codec(clips(), CONFIG)


def test_streamed_decode_equals_the_whole_clip() -> None:
    codec = patch_codec()
    latents = some_latents(codec)
    streamed = codec.decode_float(latents, codec.start())
    whole = codec.reconstruct(latents).detach().clamp(-1, 1)
    assert torch.allclose(streamed, whole, atol=1e-5), difference(streamed, whole)


def test_untrained_decoder_shows_the_closed_form(fitted: PatchCodec) -> None:
    latents = fitted.encode(next(clips(1)), fitted.start())
    assert torch.equal(fitted.reconstruct(latents), fitted.closed_form(latents))


def test_latents_are_centred_with_mean_variance_one_and_half_whitened(fitted: PatchCodec) -> None:
    latents = torch.cat([fitted.encode(batch, fitted.start()) for batch in clips()])[:, :, 1:]
    values = latents.transpose(0, 1).flatten(1).double()
    assert values.mean(1).abs().max() < 0.01
    assert values.var(1).mean() == pytest.approx(1.0, abs=0.01)
    covariance = torch.cov(values)
    assert (covariance - covariance.diag().diag()).abs().max() < 0.01
    raw_spread = (values / fitted.later.scale[:, None]).std(1)
    ratio = values.var(1) / raw_spread
    assert torch.allclose(ratio, ratio.mean().expand_as(ratio), rtol=0.01)


def test_encoding_inverts_the_closed_form(fitted: PatchCodec) -> None:
    latents = torch.randn(1, 12, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    back = fitted.encode(fitted.closed_form(latents), fitted.start())
    assert torch.allclose(back, latents, atol=0.02), difference(back, latents)


def test_smooth_clips_come_back_closely(fitted: PatchCodec) -> None:
    batch = next(clips(1))
    pixels = to_float(batch)
    error = (fitted.closed_form(fitted.encode(batch, fitted.start())) - pixels).square().mean()
    assert error < 0.1 * pixels.var()


def test_channels_of_first_and_later_frames_mean_the_same(fitted: PatchCodec) -> None:
    still = next(clips(1))[:, :1].expand(-1, 5, -1, -1, -1)
    first, later = fitted.encode(still, fitted.start()).unbind(2)
    strongest = fitted.later.scale.argsort()[:3]
    for channel in strongest:
        pair = torch.stack([first[:, channel].flatten(), later[:, channel].flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.9


def test_fit_is_deterministic_and_independent_of_batching(fitted: PatchCodec) -> None:
    singles = fit_patch_codec((clip[None] for batch in clips() for clip in batch), CONFIG)
    for name in ("later.basis", "later.mean", "later.scale", "first.basis"):
        assert torch.allclose(singles.state_dict()[name], fitted.state_dict()[name], atol=2e-3), name


def test_saving_keeps_the_latent_space_to_the_bit(fitted: PatchCodec, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path)
    loaded = PatchCodec.from_pretrained(tmp_path)
    assert loaded.config == fitted.config
    batch = next(clips(1))
    assert torch.equal(loaded.encode(batch, loaded.start()), fitted.encode(batch, fitted.start()))
    assert {p.dtype for p in loaded.state_dict().values()} == {torch.float32}


def test_broken_folders_are_refused(fitted: PatchCodec, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        PatchCodec.from_pretrained(tmp_path / "nowhere")
    fitted.save_pretrained(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="damaged"):
        PatchCodec.from_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"colour": 3}))
    with pytest.raises(UserError, match="unknown fields: colour"):
        PatchCodec.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"_class_name": "AutoencoderKLWan"}))
    with pytest.raises(UserError, match="AutoencoderKLWan"):
        PatchCodec.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 0}, "width is 0"),
        ({"detail_scale": 3}, "detail_scale 3"),
        ({"latent_channels": 200}, "at most"),
    ],
)
def test_impossible_configs_are_refused(changes: dict[str, int], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        PatchCodecConfig(**changes)


def test_too_few_patches_are_refused() -> None:
    with pytest.raises(UserError, match="give more and longer clips"):
        fit_patch_codec([torch.zeros(1, 1, 8, 8, 3, dtype=torch.uint8)])
