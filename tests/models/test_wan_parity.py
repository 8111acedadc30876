"""The Wan transformer against diffusers' own with the same weights, whole clip, text- and image-to-video.

diffusers computes the sinusoid of the timestep in float32, the original and we in float64. Theirs is replaced by one in
float64, so that what is left is the order of the additions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models import wan
from longtake.models.attention import KeyValue
from longtake.models.wan import WanConfig, WanTransformer
from longtake.models.wan_layers import Attention, CrossAttention, GeluProjection, RMSNorm
from tests.tiny import TINY_WAN, tiny_transformer

TINY_I2V = replace(TINY_WAN, in_channels=36, image_dim=20, added_kv_proj_dim=TINY_WAN.dim)
TINY_FLF2V = replace(TINY_I2V, pos_embed_seq_len=10)
TEXT_TOKENS = 512  # diffusers' image-to-video path is written for this many
CONFIGS = {"t2v": TINY_WAN, "i2v": TINY_I2V, "flf2v": TINY_FLF2V}
TOLERANCE = 1e-5


class ExactSinusoid(nn.Module):
    """cos(t·10000^(−k/h)) then sin, k = 0 … h−1, in float64."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.half = size // 2

    def forward(self, timestep: Tensor) -> Tensor:
        rates = torch.tensor([10000.0 ** (-k / self.half) for k in range(self.half)], dtype=torch.float64)
        angles = timestep.double()[:, None] * rates
        return torch.cat([angles.cos(), angles.sin()], 1).float()


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(config: WanConfig) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Latents, a timestep for each of five frames, text, image tokens."""
    latents = draw(2, config.in_channels, 5, 6, 10, seed=3)
    timestep = torch.tensor([[937.5, 833.3, 625.0, 40.0, 0.0], [1000.0, 0.0, 7.25, 500.0, 321.0]])
    text = draw(2, TEXT_TOKENS, config.text_dim, seed=4)
    image = None if config.image_dim is None else draw(2, 10, config.image_dim, seed=5)
    return latents, timestep, text, image


@torch.no_grad()
def theirs(model: WanTransformer, folder: Path) -> Tensor:
    """What diffusers makes of the saved model and `inputs`."""
    config = model.config
    model.save_pretrained(folder)
    other = WanTransformer3DModel.from_pretrained(folder).eval()
    other.condition_embedder.timesteps_proj = ExactSinusoid(config.freq_dim)
    latents, timestep, text, image = inputs(config)
    per_token = timestep.repeat_interleave(config.grid(6, 10).tokens, 1)
    if config.pos_embed_seq_len is not None:
        assert image is not None
        image = image.reshape(
            4, 5, -1
        )  # two pictures of five tokens a clip, which diffusers puts side by side
    return other(latents, per_token, text, image, return_dict=False)[0]


@torch.no_grad()
def ours(model: WanTransformer) -> Tensor:
    latents, timestep, text, image = inputs(model.config)
    return model(latents, timestep, text, image=image)


@pytest.mark.parametrize("kind", CONFIGS)
def test_whole_clip_equals_diffusers(kind: str, tmp_path: Path) -> None:
    model = tiny_transformer(CONFIGS[kind])
    expected = theirs(model, tmp_path)
    difference = (ours(model) - expected).abs().max().item()
    assert expected.std() > 0.1
    assert difference <= TOLERANCE, f"largest difference {difference:.2e}"


def swapped_pairs(self: Attention, x: Tensor) -> KeyValue:
    kv = KeyValue(self._split(self.norm_k(self.to_k(x))), self._split(self.to_v(x)))
    return KeyValue(kv.k.flip(-1), kv.v)


def per_head(self: RMSNorm, x: Tensor) -> Tensor:
    heads = x.unflatten(-1, (TINY_WAN.num_attention_heads, -1))
    return nn.functional.rms_norm(heads, heads.shape[-1:], eps=self.eps).flatten(-2) * self.weight


BUGS: dict[str, tuple[str, type | object, str, Callable[..., object]]] = {
    "sines before cosines": ("t2v", wan.ConditionEmbedder, "forward", lambda self, t: _swapped_time(self, t)),
    "pairs rotated wrongly": ("t2v", Attention, "key_value", swapped_pairs),
    "norm for each head alone": ("t2v", RMSNorm, "forward", per_head),
    "exact gelu": ("t2v", GeluProjection, "forward", lambda self, x: nn.functional.gelu(self.proj(x))),
    "modulation without its one": ("t2v", wan, "modulate", lambda x, m: x * m.scale + m.shift),
    "image keys not normed": (
        "i2v",
        CrossAttention,
        "image_key_value",
        lambda self, x: KeyValue(self._split(self.add_k_proj(x)), self._split(self.add_v_proj(x))),
    ),
    "tanh gelu for the image": (
        "i2v",
        GeluProjection,
        "forward",
        lambda self, x: nn.functional.gelu(self.proj(x), approximate="tanh"),
    ),
}


def _swapped_time(self: wan.ConditionEmbedder, timestep: Tensor) -> tuple[Tensor, Tensor]:
    angles = ExactSinusoid(self.freq_dim)(timestep.flatten()).roll(self.freq_dim // 2, 1)
    embedding = self.time_embedder(angles.view(*timestep.shape, -1))
    return embedding, self.time_proj(nn.functional.silu(embedding)).unflatten(-1, (6, -1))


@pytest.mark.parametrize("bug", BUGS)
def test_the_comparison_notices(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, owner, name, planted = BUGS[bug]
    model = tiny_transformer(CONFIGS[kind])
    expected = theirs(model, tmp_path)
    monkeypatch.setattr(owner, name, planted)
    assert (ours(model) - expected).abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize("kind", ["t2v", "i2v"])
def test_bfloat16_stays_near_float32(kind: str) -> None:
    model = tiny_transformer(CONFIGS[kind])
    exact = ours(model)
    low = model.to(torch.bfloat16)
    latents, timestep, text, image = inputs(model.config)
    with torch.no_grad():
        rounded = low(latents.bfloat16(), timestep, text, image=image)
    assert rounded.dtype == torch.bfloat16
    relative = ((rounded.float() - exact).norm() / exact.norm()).item()
    assert 1e-4 < relative < 0.03, f"relative distance {relative:.4f}"


def test_norms_compute_in_float32_inside() -> None:
    norm = RMSNorm(4096, eps=1e-6).bfloat16()
    x = (draw(8, 4096, seed=1) * 100).bfloat16()
    wide = x.double()
    expected = wide * (wide.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
    torch.testing.assert_close(norm(x).double(), expected, rtol=2**-8, atol=0)


def test_a_text_context_holds_the_image_tokens() -> None:
    model = tiny_transformer(TINY_I2V)
    latents, timestep, text, image = inputs(TINY_I2V)
    context = model.text_context(text, image)
    assert len(context.image) == TINY_I2V.num_layers
    assert torch.equal(model(latents, timestep, context), model(latents, timestep, text, image=image))


def test_captions_by_segment_leave_the_image_to_every_frame() -> None:
    model = tiny_transformer(TINY_I2V)
    latents, timestep, text, image = inputs(TINY_I2V)
    plain = model(latents, timestep, text, image=image)
    both = torch.stack([text, text.flip(0)], 1)
    by_segment = model(latents, timestep, both, segment_BT=torch.zeros(2, 5, dtype=torch.long), image=image)
    torch.testing.assert_close(by_segment, plain, atol=TOLERANCE, rtol=0)


def test_image_tokens_are_asked_for_and_refused_by_kind() -> None:
    _, _, text, image = inputs(TINY_I2V)
    with pytest.raises(UserError, match="image-to-video kind, which needs image tokens"):
        tiny_transformer(TINY_I2V).text_context(text)
    with pytest.raises(UserError, match="text-to-video kind, which needs no image tokens"):
        tiny_transformer(TINY_WAN).text_context(text, image)
