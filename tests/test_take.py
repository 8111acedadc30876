"""Takes: what a user of the Python interface relies on."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake import Cue, Pipeline, Settings, Snapshot, Timeline, UserError
from tests.tiny import tiny_folder, tiny_patch_codec, tiny_pipeline, tiny_wan_codec

PROMPT = "a red sphere rolls"


@pytest.fixture(params=[tiny_patch_codec, tiny_wan_codec], ids=["patch", "wan"])
def pipe(request: pytest.FixtureRequest) -> Pipeline:
    """The same model with each codec: a seam in either would show."""
    return tiny_pipeline(request.param())


def frames_of(take, chunks=None):  # type: ignore[no-untyped-def]
    parts = [chunk.frames for chunk in (take if chunks is None else [next(take) for _ in range(chunks)])]
    return np.concatenate(parts)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 13, 14])
def test_any_number_of_frames_is_made_exactly(pipe: Pipeline, count: int) -> None:
    take = pipe.stream(PROMPT, seed=3, num_frames=count)
    assert frames_of(take).shape == (count, 16, 32, 3)


def test_a_shorter_take_is_the_beginning_of_a_longer_one(pipe: Pipeline) -> None:
    short, long = (frames_of(pipe.stream(PROMPT, seed=3, num_frames=n)) for n in (10, 21))
    assert np.array_equal(short, long[:10])


def test_same_seed_same_bytes_other_seed_other_bytes(pipe: Pipeline) -> None:
    one, two, other = (frames_of(pipe.stream(PROMPT, seed=s, num_frames=9)) for s in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("after", [1, 2, 5])
def test_a_restored_take_goes_on_with_the_same_bytes(pipe: Pipeline, after: int) -> None:
    unbroken = pipe.stream(PROMPT, seed=3)
    frames_of(unbroken, after)
    snapshot = unbroken.snapshot()
    expected = frames_of(unbroken, 3)
    assert np.array_equal(frames_of(pipe.restore(snapshot), 3), expected)


RESUME = """
import hashlib, sys
from pathlib import Path
import longtake
take = longtake.load(sys.argv[1]).restore(longtake.Snapshot.load(Path(sys.argv[2])))
print(hashlib.sha256(b"".join(next(take).frames.tobytes() for _ in range(3))).hexdigest())
"""


def test_a_take_restored_in_a_new_process_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model")
    timeline = Timeline(cues=(Cue(prompt=PROMPT, at=0), Cue(prompt="a blue cube", at=1.5, transition=2.0)))
    take = Pipeline.from_pretrained(folder).stream(timeline, seed=3)
    frames_of(take, 5)
    take.snapshot().save(tmp_path / "take.safetensors")
    expected = hashlib.sha256(frames_of(take, 3).tobytes()).hexdigest()
    command = [sys.executable, "-c", RESUME, str(folder), str(tmp_path / "take.safetensors")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected


def test_a_snapshot_of_another_model_is_refused(pipe: Pipeline) -> None:
    snapshot = pipe.stream(PROMPT, seed=3).snapshot()
    other = Snapshot(tensors=snapshot.tensors, meta={**snapshot.meta, "model": "other"})
    with pytest.raises(UserError, match="'other'"):
        pipe.restore(other)


@pytest.mark.parametrize("content", [None, b"", b"not a snapshot at all"])
def test_a_damaged_snapshot_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "take.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"take\.safetensors cannot be read"):
        Snapshot.load(path)


def test_steering_takes_effect_at_the_chunk_on_the_receipt(pipe: Pipeline) -> None:
    plain = [next(chunks) for chunks in [pipe.stream(PROMPT, seed=3)] for _ in range(4)]
    take = pipe.stream(PROMPT, seed=3)
    steered = [next(take), next(take)]
    receipt = take.steer("a blue cube")
    steered += [next(take), next(take)]
    assert receipt.first_chunk == 2
    same = [np.array_equal(a.frames, b.frames) for a, b in zip(plain, steered, strict=True)]
    assert same == [True, True, False, False]
    (applied,) = steered[2].receipts
    assert (applied.first_chunk, applied.applied_chunk) == (2, 2)
    assert applied.applied_time == steered[2].start_time


def test_the_call_follows_diffusers_output_types() -> None:
    pipe = tiny_pipeline()
    video = {kind: pipe(PROMPT, num_frames=6, output_type=kind, generator=torch.Generator().manual_seed(5)).frames
             for kind in ("np", "pt", "pil", "latent")}  # fmt: skip
    assert video["np"][0].shape == (6, 16, 32, 3)
    assert 0 <= video["np"].min() <= video["np"].max() <= 1
    assert video["pt"][0].shape == (6, 3, 16, 32)
    assert len(video["pil"][0]) == 6
    assert video["pil"][0][0].size == (32, 16)
    assert video["latent"].shape[1] == 4
    assert np.array_equal(np.asarray(video["pil"][0][3]), (video["np"][0][3] * 255).round().astype(np.uint8))


def test_prepared_latents_decide_the_picture() -> None:
    pipe = tiny_pipeline()
    latents = torch.randn(1, 4, 4, 2, 4, generator=torch.Generator().manual_seed(1))
    one, two = (pipe(PROMPT, num_frames=6, latents=latents, generator=torch.Generator().manual_seed(s)).frames
                for s in (1, 2))  # fmt: skip
    assert np.array_equal(one, two)


def test_a_callback_sees_and_may_change_every_step() -> None:
    seen: list[tuple[int, float]] = []

    def callback(pipe, step, timestep, values):  # type: ignore[no-untyped-def]
        seen.append((step, timestep))
        return {"latents": torch.zeros_like(values["latents"])}

    pipe = tiny_pipeline()
    frames = pipe(PROMPT, num_frames=5, callback_on_step_end=callback).frames
    assert [step for step, _ in seen] == [0, 1]
    assert seen[0][1] == 1000
    assert not np.array_equal(frames, pipe(PROMPT, num_frames=5).frames)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(width=40), "40x16"),
        (Settings(height=8), "32x8"),
        (Settings(guidance_scale=0.5), "0.5"),
        (Settings(num_inference_steps=0), "num_inference_steps 0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny_pipeline().stream(PROMPT, settings=settings)


@pytest.mark.parametrize("count", [0, -3])
def test_a_take_without_frames_is_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"num_frames {count}"):
        tiny_pipeline().stream(PROMPT, num_frames=count)


def test_a_timeline_changes_the_prompt_on_time() -> None:
    timeline = Timeline(cues=(Cue(prompt=PROMPT, at=0), Cue(prompt="a blue cube", at=1.0, transition=1.0)))
    chunks = list(tiny_pipeline().stream(timeline, seed=1, num_frames=40))
    changes = [(chunk.index, receipt) for chunk in chunks for receipt in chunk.receipts]
    first, touched, applied = changes
    assert first[0] == 0
    assert first[1].applied_chunk == 0
    assert chunks[touched[0]].start_time >= 1.0 > chunks[touched[0] - 1].start_time
    assert chunks[applied[0]].start_time >= 2.0 > chunks[applied[0] - 1].start_time
    assert applied[1].first_chunk == touched[0]


def test_a_direction_given_while_a_chunk_is_made_is_promised_for_the_one_after_it() -> None:
    given: list[int | None] = []

    def steer(pipe, step, timestep, values):  # type: ignore[no-untyped-def]
        if len(made) == 1 and not given:
            given.append(take.steer("a blue cube").first_chunk)
        return values

    take = tiny_pipeline().stream(PROMPT, seed=3, callback_on_step_end=steer)
    made = []
    for _ in range(3):
        made.append(next(take))
    assert given == [2]
    assert [[receipt.first_chunk for receipt in chunk.receipts] for chunk in made] == [[0], [], [2]]
