"""A context computed anew for each block, against the slow oracle; the attention bias with it and with a cache."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from longtake.methods import Conditions
from longtake.methods.build import causal
from longtake.models.hub import presets
from longtake.models.policy import Policy
from longtake.sampling.few_step import FewStep
from longtake.sampling.noise import CounterNoise
from tests.methods.oracle import Group, Key, Oracle, Schedule, rolling
from tests.methods.published import PUBLISHED, Published, difference, oracle_of, policy_of, prompts, streamed
from tests.tiny import TINY_WAN, tiny_patch_codec, tiny_transformer

BLOCK, CONTEXT, SEED, SHAPE = 3, 3, 7, (4, 2, 4)
CHANGE = {20: 1}
"""Block → prompt."""
STEPS = (1000, 750, 500, 250, 0)


def context_of(codec, latents: Tensor, pixels: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    """The latest latents; the first is the encoding of the pixel frame that it ends on, once there are more."""
    context = latents[:, :, -CONTEXT:].clone()
    if latents.shape[2] > CONTEXT:
        oldest = pixels[:, -(1 + 4 * (CONTEXT - 1))]
        context[:, :, :1] = codec.encode(oldest[:, None], codec.start())
    return context


@torch.inference_mode()
def test_krea_streams_as_published() -> None:
    """Each block from the product's own past: 8-bit pixels would turn rounding into whole levels."""
    policy, codec = presets()["krea-14b"].policy, tiny_patch_codec()
    backbone = tiny_transformer(replace(TINY_WAN, in_channels=4, out_channels=4))
    method = causal(policy, backbone, FewStep(steps=STEPS, shift=5, warp=True), codec=codec)
    state, stream, worst, prompt = method.start(SHAPE), codec.start(), 0.0, 0
    latents, pixels = torch.zeros(1, 4, 0, 2, 4), torch.zeros(1, 0, 16, 32, 3, dtype=torch.uint8)
    for index in range(40):
        prompt = CHANGE.get(index, prompt)
        text, plan = backbone.text_context(prompts()[:, prompt]), method.next(index * BLOCK, None)
        made = method.denoise(plan, CounterNoise(SEED), Conditions(text=text), state)
        oracle = Oracle(backbone, Schedule(STEPS, 5, True), BLOCK, SEED, SHAPE, prompts(), bias=math.log(0.3))
        context = context_of(codec, latents, pixels)
        places = range(context.shape[2])
        keys = [Key({i: 1.0}, i) for i in places]
        if index:
            oracle.add(context, Group(places, places, keys), prompt)
        expected = oracle.block_of(index * BLOCK, keys, range(len(places), len(places) + BLOCK), prompt)
        worst = max(worst, difference([made], [expected]))
        decoded = codec.decode(made, stream)
        state.memory.commit(plan.final, made, text, decoded)
        latents, pixels = torch.cat([latents, made], 2), torch.cat([pixels, decoded], 1)
    assert worst <= 1e-5, f"largest difference {worst:.2e} of the scale"


@torch.inference_mode()
def test_the_bias_dims_the_past_but_for_its_first_frame_and_only_while_denoising() -> None:
    policy = Policy.model_validate(policy_of("longlive").model_dump() | {"attention_bias": 0.3})
    published = Published(3, rolling(12, 3, absolute=True), PUBLISHED["longlive"].schedule)
    oracle = replace(oracle_of(published), bias=math.log(0.3))
    expected = [oracle.block_of(start, *published.visible(start, 3)) for start in range(0, 24, 3)]
    found = difference(streamed(policy, 8), expected)
    assert found <= 1e-5, f"largest difference {found:.2e} of the scale"
