"""Temporal crops and the caption of every latent frame."""

import numpy as np

from longtake.train.config import TextConfig
from longtake.train.counters import numbers
from longtake.train.crops import caption_frames, crop_frames, draw_crops
from tests.train.sets import record

STORED, FRAMES, BLOCK = 16, 12, 3
SHOT, JUMP = record(1), record(2, jump=True)
QUIET = TextConfig(dropout=0.0, lead=0.0)


def crops(kind: str, clip, count: int = 200) -> np.ndarray:  # type: ignore[no-untyped-def]
    return crop_frames(numbers(0, kind), [kind] * count, [clip] * count, STORED, FRAMES, BLOCK)


def test_a_start_begins_with_the_image_latent() -> None:
    assert (crops("start", SHOT) == np.arange(FRAMES)).all()


def test_a_middle_has_no_image_latent_and_never_crosses_a_jump() -> None:
    for clip, first in ((SHOT, 1), (JUMP, BLOCK)):
        index = crops("middle", clip)
        assert (np.diff(index, axis=1) == 1).all()
        assert set(index[:, 0]) == set(range(first, STORED - FRAMES + 1))


def test_a_sink_is_the_first_block_and_a_later_stretch() -> None:
    for clip, gaps in ((JUMP, range(BLOCK, 8)), (SHOT, range(BLOCK + 1, 8))):
        index = crops("sink", clip)
        assert (index[:, :BLOCK] == np.arange(BLOCK)).all()
        assert (np.diff(index[:, BLOCK:], axis=1) == 1).all()
        assert set(index[:, BLOCK]) == set(gaps)


def test_a_jump_asked_for_its_start_gives_a_stretch_unless_it_fits_the_block() -> None:
    assert (crops("start", JUMP)[:, 0] >= BLOCK).all()
    short = crop_frames(numbers(0, "x"), ["start"], [JUMP], STORED, BLOCK, BLOCK)
    assert short.tolist() == [[0, 1, 2]]


def test_crops_fit_clips_that_are_used_whole() -> None:
    for kind in ("start", "middle", "sink"):
        for clip in (SHOT, JUMP):
            index = crop_frames(numbers(0, kind), [kind] * 9, [clip] * 9, FRAMES, FRAMES, BLOCK)
            assert index.min() >= 0
            assert index.max() < FRAMES
            assert (np.diff(index, axis=1) > 0).all()


def test_short_clips_draw_no_sink_and_images_are_starts() -> None:
    weights = {"start": 0.5, "middle": 0.2, "sink": 0.3}
    assert "sink" not in draw_crops(numbers(0, "c"), 500, weights, BLOCK, BLOCK)
    drawn = draw_crops(numbers(0, "c"), 4000, weights, FRAMES, BLOCK)
    assert abs(drawn.count("sink") / 4000 - 0.3) < 0.03
    assert set(draw_crops(numbers(0, "c"), 9, weights, 1, BLOCK)) == {"start"}


def captions(clip, index, context=None, config=QUIET, count=1):  # type: ignore[no-untyped-def]
    frames = np.tile(np.array(index), (count, 1))
    past = np.zeros_like(frames, dtype=bool) if context is None else np.tile(np.array(context), (count, 1))
    return caption_frames(numbers(0, "captions"), [clip] * count, frames, past, BLOCK, config)


def test_each_frame_reads_the_caption_in_force() -> None:
    drawn = captions(record(1, event=4), range(6))
    assert drawn.segment.tolist() == [[0, 0, 0, 0, 1, 1]]
    assert "red" in drawn.texts[0][0]
    assert "blue" in drawn.texts[0][1]


def test_captions_that_no_frame_reads_are_left_out() -> None:
    drawn = captions(record(1, event=4), range(4, 8))
    assert drawn.segment.tolist() == [[0, 0, 0, 0]]
    assert len(drawn.texts[0]) == 1
    assert "blue" in drawn.texts[0][0]


def test_a_leading_caption_begins_with_the_block_of_its_event() -> None:
    drawn = captions(record(1, event=4), range(6), config=TextConfig(dropout=0.0, lead=1.0))
    assert drawn.segment.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_wordings_vary() -> None:
    drawn = captions(record(1), range(6), count=50)
    assert {texts[0] for texts in drawn.texts} == set(record(1).segments[0].captions)


def test_dropped_captions_are_empty_everywhere_or_where_frames_are_denoised() -> None:
    context = [True, True, True, False, False, False]
    denoised = captions(record(1), range(6), context, TextConfig(dropout=1.0, dropout_everywhere=0.0))
    assert [denoised.texts[0][s] == "" for s in denoised.segment[0]] == [False] * 3 + [True] * 3
    everywhere = captions(record(1), range(6), context, TextConfig(dropout=1.0, dropout_everywhere=1.0))
    assert everywhere.texts == (("",),)
    drawn = captions(record(1), range(6), context, TextConfig(dropout=0.12), count=4000)
    share = np.mean([texts[s[-1]] == "" for texts, s in zip(drawn.texts, drawn.segment, strict=True)])
    assert abs(share - 0.12) < 0.02
