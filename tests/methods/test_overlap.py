"""Overlapping rollouts and whole clips against the same made by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake import Pipeline
from longtake.methods import Conditions
from longtake.methods.causal import Causal
from longtake.methods.overlap import Overlap
from longtake.models.codec import Codec
from longtake.sampling.guidance import guided
from longtake.sampling.noise import CounterNoise, Purpose
from tests.methods.kinds import KINDS
from tests.tiny import tiny_patch_codec, tiny_pipeline, tiny_wan_codec

PROMPT = "a red sphere rolls"
SEED = 3


def rollout(causal: Causal, text, start: int, begin: Tensor | None) -> Tensor:  # type: ignore[no-untyped-def]
    """Latents of one rollout that begins with the latents `begin`; `start` numbers its noise."""
    limit, block = causal.limit, causal.policy.block
    assert limit is not None
    state, shape = causal.start((4, 2, 4)), (4, 2, 4)
    parts = []
    for local in range(0, limit, block):
        frames = range(local, local + block)
        if begin is not None and local < begin.shape[2]:
            latents = begin[:, :, local : local + block]
        else:

            def noise(purpose: Purpose, frames: range, step: int, shape: tuple[int, int, int]) -> Tensor:
                return CounterNoise(SEED)(purpose, [start + frame for frame in frames], step, shape)

            plan = causal.next(local, None)
            latents = causal.denoise(plan, noise, Conditions(text=text), state)
        state.memory.commit(frames, latents, text, None)
        parts.append(latents)
    assert shape == state.latent_shape
    return torch.cat(parts, 2)


@torch.inference_mode()
def by_hand(pipe: Pipeline, shared: int, rollouts: int) -> np.ndarray:
    """Each rollout decoded by itself, without the frames that the next one shows again."""
    method = pipe.stream(PROMPT, seed=SEED).engine.method
    assert isinstance(method, Overlap)
    text = pipe._read_text([(PROMPT, 1.0)], image=None)
    codec, shown, begin = pipe.codec, [], None
    for index in range(rollouts):
        latents = rollout(method.rollout, text, index * method.frames, begin)
        pixels = codec.decode(latents, codec.start())
        dropped = 4 * (shared - 1) + 1
        shown.append(pixels[0, :-dropped].numpy())
        image = codec.encode(pixels[:, -dropped : -dropped + 1 or None], codec.start())
        begin = torch.cat([image, latents[:, :, latents.shape[2] - shared + 1 :]], 2)
    return np.concatenate(shown)


@pytest.mark.parametrize("codec", [tiny_patch_codec, tiny_wan_codec], ids=["patch", "wan"])
@pytest.mark.parametrize(("kind", "shared"), [("overlap", 2), ("wide overlap", 4)])
def test_overlapping_rollouts_are_shown_as_published(codec, kind: str, shared: int) -> None:  # type: ignore[no-untyped-def]
    pipe = tiny_pipeline(codec(), **KINDS[kind])
    assert isinstance(pipe.codec, Codec)
    expected = by_hand(pipe, shared, rollouts=3)
    take = pipe.stream(PROMPT, seed=SEED, num_frames=len(expected))
    assert np.array_equal(np.concatenate([chunk.frames for chunk in take]), expected)


def test_a_whole_clip_is_the_plain_flow_of_the_network() -> None:
    pipe = tiny_pipeline(**KINDS["joint"])
    (chunk,) = pipe.stream(PROMPT, seed=SEED, num_frames=13)
    with torch.inference_mode():
        text, null = pipe._read_text([(PROMPT, 1.0)], image=None), pipe._read_text([("", 1.0)], image=None)
        velocity = guided(lambda x, t, context: pipe.backbone(x, t, context), text, null, 1.5)
        x = CounterNoise(SEED)(Purpose.INITIAL, range(4), 0, (4, 2, 4))
        linear = [1, 0.5, 0]
        sigmas = [3 * s / (1 + 2 * s) for s in linear]
        for sigma, following in pairwise(sigmas):
            x = x + (following - sigma) * velocity(x, torch.full((1, 4), 1000 * sigma))
    torch.testing.assert_close(chunk.latents, x)
