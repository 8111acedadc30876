"""Takes that go on from a clip of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtake import Pipeline, Settings, Snapshot, UserError
from longtake.models.intake import ClipLengths
from longtake.slots.clip import tail
from tests.methods.kinds import KINDS
from tests.tiny import tiny_patch_codec, tiny_pipeline, tiny_streaming_transformer, tiny_wan_codec
from tests.tiny_streaming import streaming_pipeline

PROMPT = "a blue cube rolls"
CLIP = np.random.default_rng(0).integers(0, 255, (40, 16, 32, 3), np.uint8)


def made(pipe: Pipeline, clip: Any = CLIP, num_frames: int = 33, **settings: Any) -> np.ndarray:
    take = pipe.stream(PROMPT, seed=3, num_frames=num_frames, clip=clip, settings=Settings(**settings))
    return np.concatenate([chunk.frames for chunk in take])


@pytest.fixture(params=["causal", "streamingt2v", "tail", "recomputed", "ema sink"])
def pipe(request: pytest.FixtureRequest) -> Pipeline:
    if request.param == "streamingt2v":
        return tiny_streaming_transformer()
    return tiny_pipeline(**KINDS[request.param])


@pytest.mark.parametrize("codec", [tiny_patch_codec, tiny_wan_codec], ids=["patch", "wan"])
def test_the_take_begins_with_the_end_of_the_clip_as_the_codec_gives_it_back(codec: Any) -> None:
    pipe = tiny_pipeline(codec())
    take = pipe.stream(PROMPT, seed=3, num_frames=30, clip=CLIP)
    given = take.given_frames
    assert given == 13  # a window of 6 latent frames, of which a block of 2 is made
    shown = np.concatenate([chunk.frames for chunk in take])
    state = pipe.codec.start()
    back = pipe.codec.decode(
        pipe.codec.encode(torch.from_numpy(CLIP[-given:])[None], pipe.codec.start()), state
    )
    assert np.array_equal(shown[:given], back[0].numpy())
    assert len(shown) == 30


def test_what_comes_after_is_what_the_same_latents_lead_to(pipe: Pipeline) -> None:
    """A take of the model's own, and one that is given the same latents as a clip, go on alike."""
    one, two = made(pipe), made(pipe, CLIP[:39])
    assert one.shape == two.shape == (33, 16, 32, 3)
    assert not np.array_equal(one[-8:], two[-8:])
    assert np.array_equal(one, made(pipe)), "the same clip and seed, the same bytes"


@pytest.mark.parametrize("after", range(5))
def test_it_is_restored_anywhere_with_the_same_bytes(pipe: Pipeline, after: int, tmp_path: Path) -> None:
    take = pipe.stream(PROMPT, seed=3, clip=CLIP)
    for _ in range(after):
        next(take)
    take.snapshot().save(tmp_path / "take.safetensors")
    expected = [next(take).frames for _ in range(4)]
    again = pipe.restore(Snapshot.load(tmp_path / "take.safetensors"))
    assert all(np.array_equal(frames, next(again).frames) for frames in expected)


def test_causal_memory_sees_it_block_by_block_as_if_it_had_been_made() -> None:
    pipe = tiny_pipeline(window={"kind": "rolling", "frames": 6, "sink": 0})
    take = pipe.stream(PROMPT, seed=3, clip=CLIP)
    chunks = [next(take) for _ in range(3)]
    assert [chunk.latents.shape[2] for chunk in chunks] == [2, 2, 2]
    method, text = take.engine.method, take.engine.read_text(((PROMPT, 1.0),))
    state = method.start((4, 2, 4))
    latents = pipe.codec.encode(torch.from_numpy(CLIP[-13:])[None], pipe.codec.start())
    for start in (0, 2):
        state.memory.read(range(start, start + 2), text)
        state.memory.commit(range(start, start + 2), latents[:, :, start : start + 2], text, None)
    from longtake.methods import Conditions, Plan
    from longtake.sampling.noise import CounterNoise

    null = take.engine.read_text((("", 1.0),))
    block = method.denoise(
        Plan(denoise=range(4, 6), final=range(4, 6)),
        CounterNoise(3),
        Conditions(text=text, null_text=null),
        state,
    )
    torch.testing.assert_close(chunks[2].latents, block, atol=1e-5, rtol=1e-4)


def test_the_published_network_goes_on_from_its_last_frames() -> None:
    pipe = streaming_pipeline()
    clip = np.random.default_rng(1).integers(0, 255, (9, 16, 16, 3), np.uint8)
    take = pipe.stream(PROMPT, seed=3, num_frames=8, clip=clip)
    assert take.given_frames == 4
    chunks = list(take)
    assert [len(chunk.frames) for chunk in chunks] == [4, 2, 2]
    assert chunks[1].anchors == (0,)


@pytest.mark.parametrize(
    ("count", "lengths", "kept"),
    [(40, (3, 9, 3), 33), (33, (3, 9, 3), 33), (32, (3, 9, 3), 21), (9, (3, 9, 3), 9), (12, (3, 5, 1), 9)],
)
def test_as_much_of_the_end_is_taken_as_makes_whole_blocks(
    count: int, lengths: tuple[int, int, int], kept: int
) -> None:
    found = tail(iter(CLIP[:count]), ClipLengths(*lengths), 4)
    assert np.array_equal(found, CLIP[count - kept : count])


def test_a_clip_that_is_too_short_is_refused(pipe: Pipeline) -> None:
    with pytest.raises(UserError, match=r"has 2 frames .* it needs \d+; give a longer one"):
        made(pipe, CLIP[:2])


@pytest.mark.parametrize("kind", ["joint", "rolling", "stream-batch", "fifo", "averaged windows"])
def test_models_that_cannot_go_on_from_a_clip_say_so(kind: str) -> None:
    with pytest.raises(UserError, match="cannot go on from a clip"):
        made(tiny_pipeline(**KINDS[kind]))


def test_a_clip_and_a_picture_together_are_refused() -> None:
    with pytest.raises(UserError, match="give one of them"):
        tiny_pipeline().stream(PROMPT, clip=CLIP, video=CLIP)


def test_a_clip_in_a_file_is_brought_to_the_models_size_and_rate(tmp_path: Path) -> None:
    from longtake.media import FragmentedMp4Writer, VideoFormat

    path = tmp_path / "clip.mp4"
    with FragmentedMp4Writer(path, VideoFormat(width=64, height=64, fps=16)) as writer:
        writer.write(np.random.default_rng(2).integers(0, 255, (40, 64, 64, 3), np.uint8))
    take = tiny_pipeline().stream(PROMPT, seed=1, clip=path)
    assert take.given_frames == 13
    assert next(take).frames.shape[1:] == (16, 32, 3)
    text = tmp_path / "clip.txt"
    text.write_text("no video")
    with pytest.raises(UserError, match="cannot be read"):
        tiny_pipeline().stream(PROMPT, clip=text)
