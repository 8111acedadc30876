"""A model with its tiny codec in place of its own: from a folder, from the published file, and in the plan."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import UserError
from longtake.forecast import forecast
from longtake.models import download, hub
from longtake.models.codecs import CodecChoice, codec_part
from longtake.models.download import Line
from longtake.models.hub import look_up
from longtake.models.tiny_codec import LIGHT_TAE, TinyCodec, TinyCodecConfig
from longtake.models.wan_codec import WAN_LATENTS_MEAN, WAN_LATENTS_STD
from longtake.models.wide_products import codec_dtype
from longtake.pipeline import Pipeline
from tests.models.test_opening import files, published
from tests.tiny import redraw, tiny_folder, tiny_pipeline, tiny_wan_codec

PROMPT = "a red sphere rolls"
SMALL = TinyCodecConfig(latent_channels=4, encoder_width=6, decoder_widths=(8, 6, 4, 4))
CPU = torch.device("cpu")


def tiny_codec(config: TinyCodecConfig) -> TinyCodec:
    codec = TinyCodec(config)
    redraw(codec, 6)
    return codec.eval().requires_grad_(False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with both codecs."""
    tiny_codec(SMALL).save_pretrained(tmp_path / "tiny_codec")
    return tiny_folder(tmp_path, tiny_pipeline(tiny_wan_codec()))


def film(folder: Path, codec: CodecChoice) -> tuple[np.ndarray, Tensor, Pipeline]:
    pipe = Pipeline.from_pretrained(folder, codec=codec)
    chunks = list(islice(pipe.stream(PROMPT, seed=3), 3))
    return np.concatenate([c.frames for c in chunks]), torch.cat([c.latents for c in chunks], 2), pipe


def test_the_same_latents_are_shown_by_another_codec(folder: Path) -> None:
    frames, latents, _ = film(folder, "full")
    quick, same, pipe = film(folder, "tiny")
    assert torch.equal(latents, same)
    assert isinstance(pipe.codec, TinyCodec)
    codec = tiny_codec(SMALL)
    assert np.array_equal(quick, codec.decode(latents, codec.start())[0].numpy())
    assert quick.shape == frames.shape
    assert not np.array_equal(quick, frames)


def test_a_take_with_the_tiny_codec_goes_on_after_a_snapshot(folder: Path) -> None:
    pipe = Pipeline.from_pretrained(folder, codec="tiny")
    take = pipe.stream(PROMPT, seed=3, num_frames=20)
    next(take)
    again = pipe.restore(take.snapshot())
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(take, again, strict=True))


def test_the_published_file_is_fetched_only_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path))
    preset = published(tiny_codec=files("taew2_1.safetensors"))
    monkeypatch.setattr(hub, "presets", lambda: {"tiny": preset})
    root = tmp_path / "models" / "owner" / "thing"
    fetched: list[str] = []

    def fetch(preset: object, part: object, file: object, line: object) -> None:
        fetched.append(file.path)  # type: ignore[attr-defined]
        save_file(tiny_codec(TinyCodecConfig()).state_dict(), root / file.path)  # type: ignore[attr-defined]

    monkeypatch.setattr(download, "_fetch", fetch)
    for part in preset.parts.values():
        for file in part.files:  # type: ignore[union-attr]
            (root / file.path).parent.mkdir(parents=True, exist_ok=True)
            if file.path != "taew2_1.safetensors":
                (root / file.path).write_bytes(b"")
    download.obtain("tiny", Line())
    assert fetched == []
    checkpoint = download.obtain("tiny", Line(), also=[codec_part(look_up("tiny"), "tiny")])
    assert fetched == ["taew2_1.safetensors"]
    codec = TinyCodec.from_pretrained(checkpoint.part("tiny_codec").path, torch.bfloat16)
    assert codec.dtype == torch.bfloat16
    assert codec.latent_channels == 16


def test_every_preset_of_the_wan_family_has_it_and_mini_does_not() -> None:
    family = [name for name, preset in hub.presets().items() if preset.parts and preset.architecture == "wan"]
    assert {codec_part(look_up(name), "tiny") for name in family} == {"tiny_codec"}
    with pytest.raises(UserError, match="'mini' has no tiny codec; leave it out"):
        Pipeline.from_pretrained("mini", codec="tiny")
    with pytest.raises(UserError, match="codec 'small' is unknown; use one of full, tiny"):
        Pipeline.from_pretrained("mini", codec="small")  # type: ignore[arg-type]


def test_the_plan_is_that_of_the_codec_in_use() -> None:
    def plan(codec: CodecChoice):  # type: ignore[no-untyped-def]
        size = {"width": 832, "height": 480}
        return forecast(look_up("self-forcing"), **size, dtype=torch.bfloat16, device=CPU, codec=codec)

    tiny, full = plan("tiny"), plan("full")
    item = codec_dtype(torch.bfloat16, CPU).itemsize
    numbers = sum(tensor.numel() for tensor in TinyCodec().state_dict().values())
    assert 0 <= tiny.codec.weights - item * numbers <= 128
    assert tiny.vae < full.vae / 2
    assert (tiny.weights, tiny.kv, tiny.text) == (full.weights, full.kv, full.text)


def test_raw_latents_are_those_of_the_vaes_own_space() -> None:
    """StreamDiffusionV2 feeds its network so."""
    config = TinyCodecConfig(encoder_width=6, decoder_widths=(8, 6, 4, 4))
    plain, frames = tiny_codec(config), torch.randint(0, 256, (1, 5, 16, 16, 3), dtype=torch.uint8)
    raw = TinyCodec(config, raw_encode=True)
    raw.load_state_dict(plain.state_dict())
    mean, std = (torch.tensor(each).view(1, -1, 1, 1, 1) for each in (WAN_LATENTS_MEAN, WAN_LATENTS_STD))
    wanted = plain.encode(frames, plain.start()) * std + mean
    assert torch.allclose(raw.encode(frames, raw.start()), wanted, atol=1e-6)
    light = TinyCodec(LIGHT_TAE, raw_encode=True)
    normalised = TinyCodec(LIGHT_TAE)
    normalised.load_state_dict(light.state_dict())
    wanted = normalised.encode(frames, normalised.start()) * std + mean
    assert torch.allclose(light.encode(frames, light.start()), wanted, atol=1e-5)
