"""Decoding beside the next chunk: what a consumer, a snapshot and an interrupt see."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from longtake import Pipeline, UserError
from tests.tiny import tiny_pipeline

PROMPT = "a red sphere rolls"


class Broken(Exception):
    """What goes wrong in these tests."""


def frames_of(take, chunks: int) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    return [next(take).frames for _ in range(chunks)]


def plain(chunks: int) -> list[np.ndarray]:
    return frames_of(tiny_pipeline().stream(PROMPT, seed=3), chunks)


def same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def failing(pipe: Pipeline, at: int, error: BaseException):  # type: ignore[no-untyped-def]
    """A take whose denoising fails once, at step `at` of all steps; there are 2 a chunk."""
    steps = iter(range(10_000))

    def callback(pipe, step, timestep, values):  # type: ignore[no-untyped-def]
        if next(steps) == at:
            raise error
        return values

    return pipe.stream(PROMPT, seed=3, decode_beside=True, callback_on_step_end=callback)


def test_a_chunk_is_decoded_in_another_thread_while_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither could end here if they ran one after the other."""
    pipe = tiny_pipeline()
    denoising, decoding = threading.Event(), threading.Event()
    decode = pipe.codec.decode

    def met(latents, state):  # type: ignore[no-untyped-def]
        if state.decoder.position:
            decoding.set()
            assert denoising.wait(30)
        return decode(latents, state)

    def callback(pipe, step, timestep, values):  # type: ignore[no-untyped-def]
        if decoding.is_set():
            denoising.set()
        return values

    monkeypatch.setattr(pipe.codec, "decode", met)
    take = pipe.stream(PROMPT, seed=3, decode_beside=True, callback_on_step_end=callback)
    assert same(frames_of(take, 4), plain(4))


def test_the_first_chunk_does_not_wait_for_the_second() -> None:
    steps: list[int] = []

    def callback(pipe, step, timestep, values):  # type: ignore[no-untyped-def]
        steps.append(step)
        return values

    take = tiny_pipeline().stream(PROMPT, seed=3, decode_beside=True, callback_on_step_end=callback)
    next(take)
    assert steps == [0, 1]
    next(take)
    assert steps == [0, 1] * 3


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("beside", [False, True])
def test_a_snapshot_holds_the_chunk_that_waits(after: int, beside: bool) -> None:
    pipe = tiny_pipeline()
    take = pipe.stream(PROMPT, seed=3, decode_beside=True)
    frames_of(take, after)
    restored = pipe.restore(take.snapshot(), decode_beside=beside)
    expected = plain(after + 3)[after:]
    assert same(frames_of(restored, 3), expected)
    assert same(frames_of(take, 3), expected)


def test_what_breaks_a_chunk_is_raised_when_it_is_asked_for() -> None:
    take = failing(tiny_pipeline(), at=5, error=Broken())  # chunk 2 is made beside the decoding of chunk 1
    assert same(frames_of(take, 2), plain(2))
    with pytest.raises(Broken):
        next(take)
    assert same(frames_of(take, 2), plain(4)[2:])


def test_an_interrupt_comes_at_once_and_loses_nothing() -> None:
    take = failing(tiny_pipeline(), at=5, error=KeyboardInterrupt())
    frames_of(take, 1)
    with pytest.raises(KeyboardInterrupt):
        next(take)
    with pytest.raises(UserError, match="take the next chunk"):
        take.snapshot()
    assert same(frames_of(take, 4), plain(5)[1:])


def test_what_breaks_decoding_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny_pipeline()
    take = pipe.stream(PROMPT, seed=3, decode_beside=True)
    frames_of(take, 2)

    def broken(latents: torch.Tensor, state: object) -> torch.Tensor:
        raise Broken

    monkeypatch.setattr(pipe.codec, "decode", broken)
    with pytest.raises(Broken):
        next(take)


def test_a_prompt_takes_effect_at_the_chunk_on_its_receipt() -> None:
    take = tiny_pipeline().stream(PROMPT, seed=3, decode_beside=True)
    frames_of(take, 2)
    receipt = take.steer("a blue cube")
    assert receipt.first_chunk == 3
    after = [next(take) for _ in range(3)]
    expected = plain(5)[2:]
    assert [np.array_equal(a.frames, b) for a, b in zip(after, expected, strict=True)] == [True, False, False]
    assert [[r.applied_chunk for r in chunk.receipts] for chunk in after] == [[], [3], []]
    assert after[1].receipts[0].applied_time == after[1].start_time


def test_a_memory_that_needs_pixels_is_never_ahead() -> None:
    recompute = {"window": {"kind": "recompute", "frames": 2}, "position": {"kind": "restart"}}
    plain, beside = (
        tiny_pipeline(**recompute).stream(PROMPT, seed=3, decode_beside=beside) for beside in (False, True)
    )
    assert same(frames_of(plain, 4), frames_of(beside, 4))
    assert beside.steer("a blue cube").first_chunk == 4
