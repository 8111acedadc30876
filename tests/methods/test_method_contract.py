"""What every method promises, through a take. A new method is one more entry in `kinds.KINDS`."""

from __future__ import annotations

import numpy as np
import pytest

from longtake import Cue, Pipeline, Snapshot, Timeline, UserError
from longtake.methods import Kind
from tests.methods.kinds import KINDS
from tests.tiny import tiny_pipeline, tiny_streaming_transformer
from tests.tiny_streaming import streaming_pipeline

PROMPT = "a red sphere rolls"


@pytest.fixture(params=[*KINDS, "streamingt2v", "streamingt2v, transformer"])
def pipe(request: pytest.FixtureRequest) -> Pipeline:
    if request.param == "streamingt2v":
        return streaming_pipeline()
    if request.param == "streamingt2v, transformer":
        return tiny_streaming_transformer()
    return tiny_pipeline(**KINDS[request.param])


def kind_of(pipe: Pipeline) -> Kind:
    return pipe.stream(PROMPT, seed=1, num_frames=5).engine.method.kind


def frames_of(take, chunks: int) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    return [next(take).frames for _ in range(chunks)]


@pytest.mark.parametrize("count", [1, 2, 9, 14, 21])
def test_any_number_of_frames_is_made_exactly(pipe: Pipeline, count: int) -> None:
    chunks = list(pipe.stream(PROMPT, seed=3, num_frames=count))
    assert [chunk.index for chunk in chunks] == sorted({chunk.index for chunk in chunks})
    assert all(len(chunk.frames) for chunk in chunks)
    starts = np.cumsum([0, *(len(chunk.frames) for chunk in chunks)])
    assert [chunk.start_frame for chunk in chunks] == list(starts[:-1])
    assert starts[-1] == count


def test_plans_follow_on_and_always_make_something_final(pipe: Pipeline) -> None:
    method, position = pipe.stream(PROMPT, num_frames=5).engine.method, 0
    for _ in range(1 if method.kind is Kind.JOINT else 12):
        plan = method.next(position, None)
        assert plan.final.start == position
        assert len(plan.final) > 0
        assert set(plan.final) <= set(plan.denoise)
        position = plan.final.stop


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(pipe: Pipeline) -> None:
    one, two, other = (pipe.stream(PROMPT, seed=s, num_frames=21) for s in (3, 3, 4))
    one, two, other = (np.concatenate([c.frames for c in take]) for take in (one, two, other))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_what_has_an_end_says_so_and_what_has_none_goes_on(pipe: Pipeline) -> None:
    take = pipe.stream(PROMPT, seed=1)
    if take.engine.method.limit is None:
        assert all(len(frames) for frames in frames_of(take, 30))
        return
    most = 1 + 4 * (take.engine.method.limit - 1)
    if kind_of(pipe) is Kind.JOINT:
        assert sum(len(chunk.frames) for chunk in take) == most
    with pytest.raises(UserError, match=f"can make {most}"):
        pipe.stream(PROMPT, num_frames=most + 1)


@pytest.mark.parametrize("after", range(8))
def test_a_take_restored_after_any_chunk_goes_on_with_the_same_bytes(
    pipe: Pipeline, after: int, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    if kind_of(pipe) is Kind.JOINT:
        pytest.skip("has a single chunk")
    unbroken = pipe.stream(PROMPT, seed=3)
    frames_of(unbroken, after)
    unbroken.snapshot().save(tmp_path / "take.safetensors")
    expected = frames_of(unbroken, 4)
    restored = pipe.restore(Snapshot.load(tmp_path / "take.safetensors"))
    assert all(np.array_equal(a, b) for a, b in zip(expected, frames_of(restored, 4), strict=True))


def test_steering_changes_what_comes_after_it_or_is_refused(pipe: Pipeline) -> None:
    take, plain = (pipe.stream(PROMPT, seed=3, num_frames=None) for _ in range(2))
    if kind_of(pipe) is Kind.JOINT:
        with pytest.raises(UserError, match="at once"):
            take.steer("a blue cube")
        return
    before = frames_of(take, 2)
    receipt = take.steer("a blue cube")
    after = [next(take) for _ in range(6)]
    assert all(np.array_equal(a, b) for a, b in zip(before, frames_of(plain, 2), strict=True))
    assert [r.applied_chunk for r in after[0].receipts] == [receipt.first_chunk] == [after[0].index]
    assert not all(np.array_equal(a.frames, b) for a, b in zip(after, frames_of(plain, 6), strict=True))


def test_a_timeline_of_several_prompts_is_followed_or_refused(pipe: Pipeline) -> None:
    timeline = Timeline(cues=(Cue(prompt=PROMPT, at=0), Cue(prompt="a blue cube", at=1)))
    if kind_of(pipe) is Kind.JOINT:
        with pytest.raises(UserError, match="one cue"):
            pipe.stream(timeline)
        return
    receipts = [r for chunk in pipe.stream(timeline, seed=1, num_frames=21) for r in chunk.receipts]
    assert [r.cue.prompt for r in receipts] == [PROMPT, "a blue cube"]


def test_decoding_beside_the_next_chunk_gives_the_same_bytes(pipe: Pipeline) -> None:
    plain, beside = (pipe.stream(PROMPT, seed=3, num_frames=21, decode_beside=b) for b in (False, True))
    pairs = list(zip(plain, beside, strict=True))
    assert all(np.array_equal(a.frames, b.frames) for a, b in pairs)
    assert all(a.start_frame == b.start_frame for a, b in pairs)
