"""The source of a take, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.sampling.given import NOTHING, Given
from longtake.slots.motion import NoiseController, motion
from longtake.slots.source import Source, SourceRule
from tests.tiny import tiny_patch_codec, tiny_wan_codec

PICTURES = np.random.default_rng(0).integers(0, 255, (21, 16, 32, 3), np.uint8)


@pytest.fixture(params=[tiny_patch_codec, tiny_wan_codec], ids=["patch", "wan"])
def codec(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return request.param()


def source(codec, pictures=PICTURES, **rule) -> Source:  # type: ignore[no-untyped-def]
    return Source(iter(pictures), codec, SourceRule(**{"strength": 0.7} | rule))


def given_of(slot: Source, frames: range) -> Given:
    slot.fetch(frames.stop)
    return slot.give(frames, NOTHING)


def test_blocks_are_those_of_the_whole_stream(codec) -> None:  # type: ignore[no-untyped-def]
    whole = codec.encode(torch.from_numpy(PICTURES)[None], codec.start())
    slot = source(codec)
    parts = [given_of(slot, range(*ends)).source for ends in ((0, 1), (1, 4), (4, 6))]
    assert torch.equal(torch.cat(parts, 2), whole)


def test_frames_in_flight_are_encoded_once(codec) -> None:  # type: ignore[no-untyped-def]
    slot = source(codec)
    lengths = [given_of(slot, range(start, start + 3)).source.shape[2] for start in range(4)]
    assert lengths == [3, 1, 1, 1]


def test_no_more_pictures_are_taken_than_are_needed() -> None:
    taken: list[int] = []

    def live() -> Iterator[np.ndarray]:
        for index, picture in enumerate(PICTURES):
            taken.append(index)
            yield picture

    slot = source(tiny_patch_codec(), live())
    given_of(slot, range(2))
    assert len(taken) == 5


@pytest.mark.parametrize("count", [1, 2, 5, 7, 12])
def test_where_it_ends_inside_a_block_the_last_picture_is_repeated(count: int) -> None:
    codec = tiny_patch_codec()
    slot = source(codec, PICTURES[:count])
    given = given_of(slot, range(4))
    padded = np.concatenate([PICTURES[:count], np.repeat(PICTURES[count - 1 : count], 13 - count, 0)])
    assert torch.equal(given.source, codec.encode(torch.from_numpy(padded)[None], codec.start()))
    assert slot.num_frames == count


def test_its_length_is_known_when_it_has_ended() -> None:
    slot = source(tiny_patch_codec(), PICTURES[:9])
    slot.fetch(3)
    assert slot.num_frames is None
    slot.fetch(4)
    assert slot.num_frames == 9


def test_an_empty_source_is_refused() -> None:
    with pytest.raises(UserError, match="no frames"):
        source(tiny_patch_codec(), PICTURES[:0]).fetch(1)


def test_a_restored_source_goes_on_where_it_stood(codec) -> None:  # type: ignore[no-untyped-def]
    rule = {"strength": 0.8, "begin_below": 100, "motion": True}
    one = source(codec, **rule)
    given_of(one, range(2))
    one.fetch(4)  # pictures that have been taken and not yet used
    two = source(codec, PICTURES[one.pulled :], **rule)
    two.restore(one.snapshot())
    for frames in (range(2, 4), range(4, 6)):
        a, b = given_of(one, frames), given_of(two, frames)
        assert torch.equal(a.source, b.source)
        assert (a.strength, a.begin) == (b.strength, b.begin)


def test_the_first_step_follows_the_strength() -> None:
    assert given_of(source(tiny_patch_codec(), begin_below=100), range(1)).begin == 600
    assert given_of(source(tiny_patch_codec()), range(1)).begin is None


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        ({"strength": 0.1, "begin_below": 100}, "0.1"),
        ({"strength": 0.2, "begin_below": 100, "motion": True}, "0.2"),
    ],
)
def test_a_strength_that_leaves_no_step_is_refused(rule, least: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=f"more than {least}"):
        SourceRule(**rule)


def test_motion_is_the_largest_step_between_two_frames() -> None:
    grey = np.full((3, 4, 4, 3), 100, np.uint8)
    assert motion(grey) == motion(grey[:1]) == 0
    moved = grey.copy()
    moved[2] += 6
    assert motion(moved) == pytest.approx(6 / 127.5 / 0.2)
    moved[2] = 200
    assert motion(moved) == 1


def test_the_noise_controller_follows_the_published_rule() -> None:
    controller, still = NoiseController.start(0.8), np.zeros((2, 4, 4, 3), np.uint8)
    wild = still.copy()
    wild[1] = 255
    assert controller.look(still) == pytest.approx(0.8)
    first = 0.9 * (0.8 - 0.1 * 1) + 0.1 * 0.8
    assert controller.look(wild) == pytest.approx(first)
    assert controller.look(still) == pytest.approx(0.9 * 0.8 + 0.1 * first)


def test_motion_is_seen_across_blocks() -> None:
    """The last picture of a block and the first of the next count too."""
    cut = np.zeros((9, 16, 32, 3), np.uint8)
    cut[5:] = 255
    slot = source(tiny_patch_codec(), cut, strength=0.8, motion=True)
    assert given_of(slot, range(2)).strength == pytest.approx(0.8)
    assert given_of(slot, range(2, 3)).strength == pytest.approx(0.9 * 0.7 + 0.1 * 0.8)
