"""Takes from an image or from a video, through the Python interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtake import Pipeline, Settings, Snapshot, UserError
from longtake.footage import cover
from longtake.media import FragmentedMp4Writer, VideoFormat
from tests.methods.kinds import FEW_STEP, KINDS
from tests.tiny import tiny_patch_codec, tiny_pipeline, tiny_wan_codec

PROMPT = "a red sphere rolls"
IMAGE = np.random.default_rng(1).integers(0, 255, (16, 32, 3), np.uint8)
VIDEO = np.random.default_rng(2).integers(0, 255, (30, 16, 32, 3), np.uint8)

FROM_IMAGE = {
    "prefix": {"first_frame": "prefix"},
    "a frame at a time": {
        "first_frame": "alone",
        "block": 1,
        "window": {"kind": "rolling", "frames": 4, "sink": 1},
    },
    "alone": {
        "first_frame": "alone",
        "window": {"kind": "full", "frames": 9},
        "position": {"kind": "absolute"},
    },
    "repeat": {"first_frame": "repeat", "sampler": FEW_STEP, "guidance_scale": 1},
    "rollouts": KINDS["overlap"] | {"first_frame": "repeat"},
    "in flight": KINDS["rolling"] | {"first_frame": "repeat"},
    "whole clip": KINDS["joint"] | {"first_frame": "prefix"},
}
FROM_VIDEO = {
    "causal": {},
    "whole clip": KINDS["joint"],
    "stream batch": KINDS["stream-batch"],
    "one rollout": KINDS["overlap"] | {"source": {"strength": 0.9}},
}


def frames_of(take) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.concatenate([chunk.frames for chunk in take])


def reconstruction(pipe: Pipeline) -> np.ndarray:
    """The image as the codec gives it back."""
    codec = pipe.codec
    state = codec.start()
    return codec.decode(codec.encode(torch.from_numpy(IMAGE)[None, None], state), state)[0, 0].numpy()


@pytest.mark.parametrize("codec", [tiny_patch_codec, tiny_wan_codec], ids=["patch", "wan"])
@pytest.mark.parametrize("kind", FROM_IMAGE)
def test_a_take_begins_with_the_image(kind: str, codec) -> None:  # type: ignore[no-untyped-def]
    pipe = tiny_pipeline(codec(), **FROM_IMAGE[kind])
    frames = frames_of(pipe.stream(PROMPT, seed=3, num_frames=20, image=IMAGE))
    assert len(frames) == 20
    assert np.array_equal(frames[0], reconstruction(pipe))
    other = frames_of(pipe.stream(PROMPT, seed=3, num_frames=20, image=255 - IMAGE))
    assert not np.array_equal(frames[-1], other[-1])


def test_the_opening_is_what_the_preset_says() -> None:
    chunks = {
        kind: next(tiny_pipeline(**FROM_IMAGE[kind]).stream(PROMPT, seed=1, image=IMAGE))
        for kind in FROM_IMAGE
    }
    lengths = {kind: chunk.latents.shape[2] for kind, chunk in chunks.items()}
    assert lengths == {
        "prefix": 2,
        "a frame at a time": 1,
        "alone": 1,
        "repeat": 2,
        "rollouts": 2,
        "in flight": 2,
        "whole clip": 6,
    }


@pytest.mark.parametrize("kind", [kind for kind in FROM_IMAGE if kind != "whole clip"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_take_from_an_image_can_be_restored(kind: str, after: int, tmp_path: Path) -> None:
    pipe = tiny_pipeline(**FROM_IMAGE[kind])
    take = pipe.stream(PROMPT, seed=3, num_frames=25, image=IMAGE)
    for _ in range(after):
        next(take)
    take.snapshot().save(tmp_path / "take.safetensors")
    restored = pipe.restore(Snapshot.load(tmp_path / "take.safetensors"))
    assert np.array_equal(frames_of(restored), frames_of(take))


@pytest.mark.parametrize(("frames", "most"), [(8, 25), (6, 17)])
def test_after_an_image_that_stands_alone_only_whole_blocks_are_made(frames: int, most: int) -> None:
    policy = FROM_IMAGE["alone"] | {"window": {"kind": "full", "frames": frames}}
    pipe = tiny_pipeline(**policy)
    assert len(frames_of(pipe.stream(PROMPT, seed=3, image=IMAGE))) == most
    assert len(frames_of(pipe.stream(PROMPT, seed=3, image=IMAGE, num_frames=most))) == most
    with pytest.raises(UserError, match=f"can make {most}"):
        pipe.stream(PROMPT, image=IMAGE, num_frames=most + 1)


@pytest.mark.filterwarnings("ignore:tiny was trained")
def test_an_image_is_scaled_and_cut_to_the_size_of_the_take(tmp_path: Path) -> None:
    pipe = tiny_pipeline(first_frame="prefix")
    large = np.asarray(Image.fromarray(IMAGE).resize((100, 90)))
    Image.fromarray(large).save(tmp_path / "start.png")
    size = Settings(width=48, height=16)
    one = pipe.stream(PROMPT, seed=3, num_frames=5, image=tmp_path / "start.png", settings=size)
    two = pipe.stream(PROMPT, seed=3, num_frames=5, image=cover(large, 48, 16), settings=size)
    assert np.array_equal(frames_of(one), frames_of(two))


@pytest.mark.parametrize("kind", FROM_VIDEO)
@pytest.mark.parametrize("count", [1, 5, 14, 17])
def test_a_take_from_a_video_is_as_long_as_it(kind: str, count: int) -> None:
    take = tiny_pipeline(**FROM_VIDEO[kind]).stream(PROMPT, seed=3, video=VIDEO[:count])
    assert frames_of(take).shape == (count, 16, 32, 3)


def test_strength_says_how_much_of_the_video_is_left() -> None:
    pipe = tiny_pipeline(sampler={"kind": "ode", "num_inference_steps": 6, "shift": 3.0})
    plain = pipe.stream(PROMPT, seed=3, num_frames=13)
    latents = {None: torch.cat([c.latents for c in plain], 2)}
    for strength in (0.2, 0.6, 1.0):
        take = pipe.stream(PROMPT, seed=3, video=VIDEO[:13], strength=strength)
        latents[strength] = torch.cat([c.latents for c in take], 2)
    source = pipe.codec.encode(torch.from_numpy(VIDEO[:13])[None], pipe.codec.start())
    assert torch.equal(latents[1.0], latents[None])
    far = [float((latents[s][:, :, :4] - source).pow(2).mean()) for s in (0.2, 0.6, 1.0)]
    assert far == sorted(far)


def test_the_call_takes_image_and_video_with_diffusers_names(tmp_path: Path) -> None:
    pipe = tiny_pipeline(first_frame="prefix")
    generator = torch.Generator().manual_seed(3)
    frames = pipe(PROMPT, num_frames=6, image=Image.fromarray(IMAGE), generator=generator).frames[0]
    assert np.array_equal((frames[0] * 255).round(), reconstruction(pipe))
    with FragmentedMp4Writer(tmp_path / "a.mp4", VideoFormat(width=32, height=16, fps=8)) as writer:
        writer.write(VIDEO[:7])
    assert pipe(PROMPT, video=str(tmp_path / "a.mp4"), strength=0.5).frames.shape[1] == 7
    assert pipe(PROMPT, video=list(VIDEO[:7]), num_frames=3).frames.shape[1] == 3


@pytest.mark.parametrize("kind", ["causal", "stream batch", "one rollout"])
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("beside", [False, True])
def test_a_take_from_a_video_can_be_restored(kind: str, after: int, beside: bool, tmp_path: Path) -> None:
    """From a file it finds its place by itself; a live source goes on from where it stood."""
    pipe, path = tiny_pipeline(**FROM_VIDEO[kind]), tmp_path / "a.mp4"
    with FragmentedMp4Writer(path, VideoFormat(width=32, height=16, fps=8)) as writer:
        writer.write(VIDEO[:21])
    live = iter(VIDEO[:21])
    for video in (path, live):
        take = pipe.stream(PROMPT, seed=3, video=video, decode_beside=beside)
        for _ in range(after):
            next(take)
        snapshot = take.snapshot()
        if video is path:
            restored = pipe.restore(snapshot)
        else:
            with pytest.raises(UserError, match="give what comes after"):
                pipe.restore(snapshot)
            pulled = int(snapshot.tensors["slot.source.counts"][0])
            restored = pipe.restore(snapshot, video=iter(VIDEO[pulled:21]))
        assert np.array_equal(frames_of(restored), frames_of(take))


@pytest.mark.parametrize(
    ("policy", "given", "message"),
    [
        ({}, {"image": IMAGE}, "'tiny' takes no image; use .*mini"),
        ({"source": None}, {"video": VIDEO}, "'tiny' takes no source video; use .*mini"),
        ({"first_frame": "prefix"}, {"image": IMAGE, "video": VIDEO}, "both an image and a video"),
        ({}, {"strength": 0.5}, "strength 0.5 given without a video"),
        ({}, {"video": VIDEO, "strength": 1.5}, "strength 1.5"),
        ({"sampler": FEW_STEP, "guidance_scale": 1}, {"video": VIDEO, "strength": 0.5}, "use 0.834 to 1"),
        (KINDS["stream-batch"], {"video": VIDEO, "strength": 0.5}, "use 0.6 to 1"),
        ({}, {"video": "http://example.org/a.mp4"}, "nothing is fetched"),
        ({"first_frame": "prefix"}, {"image": "none.png"}, r"none\.png"),
        ({}, {"settings": Settings(negative_prompt="a (red:9) cube")}, r"weight 9 in \(red:9\)"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(policy, given, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        tiny_pipeline(**policy).stream(PROMPT, num_frames=5, **given)
