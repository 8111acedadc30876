"""StreamingT2V on a transformer: clips against the rollout written down once more, lengths, choices, folders."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake import Pipeline, Settings, UserError
from longtake.models.codec import Codec
from longtake.models.wan import WanTransformer
from longtake.sampling.noise import CounterNoise, Purpose
from longtake.sampling.schedule import FlowSchedule
from tests.tiny import (
    tiny_folder,
    tiny_memories,
    tiny_patch_codec,
    tiny_pipeline,
    tiny_streaming_transformer,
    tiny_wan_codec,
)

PROMPT = "a red sphere rolls"
FIRST, NEW = 17, 8


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return tiny_streaming_transformer()


def video(pipe: Pipeline, num_frames: int = 33, **settings: Any) -> np.ndarray:
    chunks = pipe.stream(PROMPT, seed=3, num_frames=num_frames, settings=Settings(**settings))
    return np.concatenate([chunk.frames for chunk in chunks])


def slow_clip(
    pipe: Pipeline, frames: range, past: Tensor | None, anchor: Tensor | None, scale: float
) -> Tensor:
    """Latents of one clip, every branch and step by itself. anchor: `uint8 [H, W, 3]`."""
    backbone, memories = pipe.backbone, pipe.memories
    assert isinstance(backbone, WanTransformer)
    assert memories.cam is not None
    assert memories.apm is not None
    rows = {prompt: pipe.text_encoder.encode([prompt]) for prompt in (PROMPT, "")}

    def context(prompt: str, held: bool) -> Any:
        if anchor is None:
            return rows[prompt]
        picture = anchor[None, None] if held else torch.zeros(1, 3, 1, 16, 32)
        latent = pipe.codec.encode(picture, pipe.codec.start())[:, :, 0]
        return memories.apm.context(backbone, rows[prompt], memories.apm.tokens(memories.apm.embed(latent)))

    def velocity(x: Tensor, sigma: float, prompt: str, held: bool) -> Tensor:
        time, text = torch.full((1, len(frames)), 1000 * sigma), context(prompt, held)
        if past is None:
            return backbone(x, time, text)
        return memories.cam.predict(backbone, x, time, text, memories.cam.encode(past))

    x = CounterNoise(9)(Purpose.INITIAL, frames, 0, (4, 2, 4))
    sigmas = FlowSchedule(3.0).uniform(2)
    for sigma, following in pairwise(sigmas):
        null = velocity(x, sigma, "", False)
        x = x + (following - sigma) * (null + scale * (velocity(x, sigma, PROMPT, True) - null))
    return x


@pytest.mark.parametrize("codec", [tiny_patch_codec, tiny_wan_codec], ids=["patch", "wan"])
def test_clips_are_those_of_the_rollout_written_out(codec: Any) -> None:
    pipe = tiny_streaming_transformer(codec())
    chunks = list(pipe.stream(PROMPT, seed=9, num_frames=FIRST + 2 * NEW))
    with torch.inference_mode():
        made = slow_clip(pipe, range(5), None, None, 1.5)
        torch.testing.assert_close(chunks[0].latents, made, atol=1e-5, rtol=1e-4)
        anchor = torch.from_numpy(chunks[0].frames[0])
        for number, chunk in enumerate(chunks[1:]):
            frames = range(5 + 4 * number, 9 + 4 * number)
            clip = slow_clip(pipe, frames, made[:, :, -2:], anchor, 1.5)[:, :, 2:]
            torch.testing.assert_close(chunk.latents, clip, atol=1e-5, rtol=1e-4)
            made = torch.cat([made, clip], 2)
        plain = pipe.codec.decode(made, pipe.codec.start())[0].numpy()
    shown = np.concatenate([chunk.frames for chunk in chunks])
    assert np.abs(shown.astype(int) - plain).max() <= 1, (
        "what is discarded must not go through the carried cache"
    )


@pytest.mark.parametrize("frames", [1, FIRST, FIRST + 1, FIRST + NEW, FIRST + 3 * NEW])
def test_frames_are_counted_exactly(pipe: Pipeline, frames: int) -> None:
    chunks = list(pipe.stream(PROMPT, seed=1, num_frames=frames))
    assert sum(len(chunk.frames) for chunk in chunks) == frames
    assert [len(chunk.frames) for chunk in chunks[:1]] == [min(FIRST, frames)]
    assert len(chunks) == 1 + -(-max(0, frames - FIRST) // NEW)


def test_each_choice_changes_what_follows_the_first_clip_and_only_that(pipe: Pipeline) -> None:
    plain = video(pipe)
    for choice in ({"long_term": False}, {"short_term": False}, {"anchor_scale": 0.5}, {"anchors": ("8",)}):
        other = video(pipe, **choice)
        assert not np.array_equal(other[FIRST:], plain[FIRST:]), choice
        assert np.array_equal(other[:FIRST], plain[:FIRST])


def test_short_term_memory_alone_waits_for_no_pixels(pipe: Pipeline) -> None:
    take = pipe.stream(PROMPT, seed=1, settings=Settings(long_term=False))
    assert not take.engine.method.start((4, 2, 4)).memory.needs_pixels


def test_a_causal_model_with_memories_streams_either_way() -> None:
    pipe = tiny_pipeline()
    pipe.memories = tiny_memories(pipe)
    own, asked = video(pipe), video(pipe, method="streamingt2v")
    assert own.shape == asked.shape
    assert not np.array_equal(own, asked)
    assert np.array_equal(own, video(tiny_pipeline())), "memories that are not asked for change nothing"
    same = tiny_streaming_transformer()
    assert np.array_equal(asked, video(same))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"cam": False}, "no short-term memory .cam/ in its folder.; train one with `longtake train cam`"),
        ({"apm": False}, "no long-term memory .apm/ in its folder.; train one with `longtake train apm`"),
    ],
)
def test_a_memory_that_is_not_there_is_said_and_can_be_left_out(
    missing: dict[str, bool], message: str
) -> None:
    pipe = tiny_pipeline()
    pipe.memories = tiny_memories(pipe, **missing)
    with pytest.raises(UserError, match=message):
        video(pipe, method="streamingt2v")
    off = {"short_term": False} if "cam" in missing else {"long_term": False}
    assert len(video(pipe, method="streamingt2v", **off)) == 33


@pytest.mark.parametrize(
    ("policy", "settings", "message"),
    [
        ({}, {"method": "streaming"}, "method 'streaming' is unknown; known: streamingt2v"),
        ({"block": 5, "window": {"kind": "clip", "frames": 5}}, {}, "trained for clips of 4 latent frames"),
    ],
)
def test_what_cannot_be_is_refused(policy: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        video(tiny_streaming_transformer(**policy), **settings)


@pytest.mark.parametrize("codec", [tiny_patch_codec, tiny_wan_codec], ids=["patch", "wan"])
def test_a_folder_with_memories_opens_and_makes_the_same(codec: Any, tmp_path: Path) -> None:
    made: Codec = codec()
    pipe = tiny_streaming_transformer(made)
    again = Pipeline.from_pretrained(tiny_folder(tmp_path, pipe), torch_dtype=torch.float32)
    assert again.memories.cam is not None
    assert again.memories.apm is not None
    apart = np.abs(video(pipe).astype(int) - video(again)).max()
    assert apart <= 2, f"{apart} levels apart: weights mapped from a file may round otherwise"
