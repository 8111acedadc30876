"""Which frames short- and long-term memory hold, and when."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory.apm import Anchors, Apm, Pin
from longtake.memory.cam import Cam
from longtake.models.wan import TextContext

LATENTS = torch.zeros(1, 4, 1, 2, 2)


class Levels:
    """Makes of every picture its own grey level, and counts the pictures that it has seen."""

    dim = 1

    def __init__(self) -> None:
        self.seen = 0

    def pictures(self, frames: Tensor) -> Tensor:
        self.seen += len(frames)
        return frames.float().mean((1, 2, 3))[:, None]

    def tokens(self, embeddings: Tensor) -> Tensor:
        return embeddings.mean(0)[None, None]

    def null(self) -> Tensor:
        return torch.full((1, 1, 1), -1.0)


def prompt(number: int) -> TextContext:
    return TextContext(layers=(), rows=torch.full((1, 2, 3), float(number)))


def frames(start: int, stop: int) -> Tensor:
    """Pixel frames whose grey level is their number."""
    return torch.arange(start, stop).view(1, -1, 1, 1, 1).expand(1, -1, 4, 4, 3).to(torch.uint8)


def grow(apm: Apm, start: int, stop: int, text: int = 0) -> None:
    apm.commit(range(1), LATENTS, prompt(text), frames(start, stop))


def anchor(apm: Apm) -> tuple[tuple[int, ...], float] | None:
    held = apm.read(range(1), prompt(0)).anchor
    return None if held is None else (held.frames, float(held.tokens))


def test_the_first_frame_is_the_anchor_for_ever_and_is_read_once() -> None:
    levels = Levels()
    apm = Apm(levels)
    assert anchor(apm) is None
    for start in range(0, 64, 8):
        grow(apm, start, start + 8)
        assert anchor(apm) == ((0,), 0.0)
    assert levels.seen == 1
    null = apm.read(range(1), prompt(0)).anchor
    assert null is not None
    assert float(null.null) == -1


def test_several_frames_count_by_their_mean_as_soon_as_all_are_there() -> None:
    apm = Apm(Levels(), Anchors(pins=(Pin(frames=(3,)), Pin(frames=(4, 10)))))
    grow(apm, 0, 8)
    assert anchor(apm) == ((3,), 3.0)
    grow(apm, 8, 16)
    assert anchor(apm) == ((4, 10), 7.0)


def test_an_anchor_comes_into_force_at_its_time() -> None:
    apm = Apm(Levels(), Anchors(pins=(Pin(), Pin(frames=(5,), since=16))))
    grow(apm, 0, 8)
    assert anchor(apm) == ((0,), 0.0)
    grow(apm, 8, 16)
    assert anchor(apm) == ((5,), 5.0)


def test_a_new_prompt_brings_its_own_anchor_where_that_is_wanted() -> None:
    for with_prompt, expected in ((True, ((16,), 16.0)), (False, ((0,), 0.0))):
        apm = Apm(Levels(), Anchors(with_prompt=with_prompt))
        for start, text in ((0, 1), (8, 1), (16, 2), (24, 2)):
            grow(apm, start, start + 8, text)
        assert anchor(apm) == expected


def test_an_anchor_can_be_refreshed_from_outside() -> None:
    apm = Apm(Levels(), Anchors(pins=(Pin(), Pin(frames=(2,), since=32))))
    grow(apm, 0, 8)
    apm.refresh()
    assert anchor(apm) == ((0,), 0.0)
    grow(apm, 8, 16)
    assert anchor(apm) == ((8,), 8.0)
    grow(apm, 16, 32)
    assert anchor(apm) == ((2,), 2.0)  # a later pin has its time


@pytest.mark.parametrize("pin", [{"frames": ()}, {"frames": (-1,)}, {"since": -3}])
def test_anchors_that_cannot_be_are_refused(pin: dict[str, object]) -> None:
    with pytest.raises(UserError, match="counted from 0"):
        Pin(**pin)  # type: ignore[arg-type]


def test_anchors_outside_of_the_video_are_refused() -> None:
    rule = Anchors(pins=(Pin(), Pin(frames=(40,))))
    rule.check(None)
    rule.check(41)
    with pytest.raises(UserError, match="anchor frame 40 is outside of the video, which has frames 0 to 39"):
        rule.check(40)


def test_short_term_memory_gives_the_last_frames_and_nothing_before_there_are_enough() -> None:
    cam = Cam(lambda pixels: pixels[..., 0, 0, 0].float(), frames=8, shape=(4, 4, 3))
    cam.commit(range(1), LATENTS, prompt(0), frames(0, 5))
    assert cam.missing == 3
    assert cam.read(range(1), prompt(0)).features is None
    cam.commit(range(1), LATENTS, prompt(0), frames(5, 13))
    features = cam.read(range(1), prompt(0)).features
    assert features is not None
    assert features[0].tolist() == list(range(5, 13))
