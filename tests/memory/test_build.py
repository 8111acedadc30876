"""The bytes of every policy are known before anything is allocated, and are those of the published caches or less."""

from __future__ import annotations

import pytest
import torch

from longtake.memory.build import FirstFrames, memory_of, planned_bytes
from longtake.models.hub import presets
from longtake.models.wan import WanConfig
from tests.tiny import TINY_WAN, tiny_transformer

LATENT = (TINY_WAN.in_channels, 4, 6)
CODEC = FirstFrames(encode=lambda frame: torch.zeros(1, *LATENT[:1], 1, *LATENT[1:]), temporal_stride=4)
CACHED = [name for name, preset in presets().items() if preset.policy.kind != "joint"]
LARGE = WanConfig(num_attention_heads=40, ffn_dim=13824, num_layers=40)


@pytest.mark.parametrize("name", CACHED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_planned_is_what_is_held(name: str, dtype: torch.dtype) -> None:
    policy, backbone = presets()[name].policy, tiny_transformer().to(dtype)
    memory = memory_of(policy, backbone, LATENT, CODEC)
    planned = planned_bytes(policy, TINY_WAN, TINY_WAN.grid(*LATENT[1:]), dtype)
    assert memory.num_bytes == planned > 0


@pytest.mark.parametrize(
    ("name", "config", "gib"),
    [
        ("causvid", WanConfig(), 5.62),
        ("self-forcing", WanConfig(), 5.62),
        ("longlive", WanConfig(), 3.21),
        ("streamdiffusion-v2", WanConfig(), 2 * 1.61),
        ("krea-14b", LARGE, 7.14),
    ],
)
def test_keys_and_values_take_what_the_published_caches_take(
    name: str, config: WanConfig, gib: float
) -> None:
    """At 832x480 in bf16; recached latents come on top, a few MiB."""
    planned = planned_bytes(presets()[name].policy, config, config.grid(60, 104), torch.bfloat16)
    assert planned / 2**30 == pytest.approx(gib, rel=0.003)


def test_a_clip_has_no_memory() -> None:
    config = WanConfig()
    assert (
        planned_bytes(presets()["wan2.1-t2v-1.3b"].policy, config, config.grid(60, 104), torch.bfloat16) == 0
    )
