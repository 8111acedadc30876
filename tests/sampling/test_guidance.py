"""Guidance in one batch equals its two passes, also where cross-attention reads image tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from longtake.models.wan import TextContext, WanConfig
from longtake.sampling.guidance import guided
from tests.tiny import TINY_WAN, tiny_transformer

TINY_I2V = replace(TINY_WAN, image_dim=20, added_kv_proj_dim=TINY_WAN.dim)


@pytest.mark.parametrize("config", [TINY_WAN, TINY_I2V], ids=["text", "image"])
@torch.no_grad()
def test_one_batch_equals_two_passes(config: WanConfig) -> None:
    model = tiny_transformer(config)
    generator = torch.Generator().manual_seed(0)

    def context() -> TextContext:
        text = torch.randn(1, 5, config.text_dim, generator=generator)
        image = torch.randn(1, 4, config.image_dim, generator=generator) if config.image_dim else None
        return model.text_context(text, image)

    prompt, negative = context(), context()
    latents = torch.randn(1, config.in_channels, 2, 4, 6, generator=generator)
    timestep = torch.tensor([[900.0, 300.0]])
    got = guided(model, prompt, negative, 3.0)(latents, timestep)
    plain, null = model(latents, timestep, prompt), model(latents, timestep, negative)
    assert (plain - null).abs().max() > 0.1
    torch.testing.assert_close(got, null + 3.0 * (plain - null), atol=1e-5, rtol=0)


@torch.no_grad()
def test_below_a_noise_level_the_text_alone_is_followed() -> None:
    model = tiny_transformer(TINY_WAN)
    generator = torch.Generator().manual_seed(0)
    prompt, negative = (
        model.text_context(torch.randn(1, 5, TINY_WAN.text_dim, generator=generator)) for _ in range(2)
    )
    latents = torch.randn(1, TINY_WAN.in_channels, 2, 4, 6, generator=generator)
    denoise = guided(model, prompt, negative, 3.0, until=0.55)
    everywhere = guided(model, prompt, negative, 3.0)
    for level, guides in ((500.0, False), (549.0, False), (550.0, True), (900.0, True)):
        timestep = torch.tensor([[level, 0.0]])  # the noisiest frame decides
        plain, led = model(latents, timestep, prompt), everywhere(latents, timestep)
        assert (plain - led).abs().max() > 0.1
        assert torch.equal(denoise(latents, timestep), led if guides else plain)
