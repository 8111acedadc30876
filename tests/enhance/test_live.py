"""The live mode: what the left window made is kept, and frames leave a window later at the latest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.enhance.blending import BLENDINGS, Blending
from longtake.enhance.live import Live
from longtake.enhance.window import Course
from longtake.errors import UserError
from tests.enhance.toy import SOLVERS, course, video


def stream(course: Course, clean: Tensor, pieces: int = 1) -> Tensor:
    live = Live(course)
    out = [part for piece in clean.split(pieces, dim=2) for part in live.push(piece)]
    return torch.cat([*out, *live.finish()], dim=2)


def one_after_another(course: Course, clean: Tensor) -> Tensor:
    """The oracle: every window alone, with the whole trajectory of the one before it at hand."""
    tiling, out, emitted, before = course.tiling, [], 0, None
    windows = tiling.over(clean.shape[2])
    for index, frames in enumerate(windows):
        window, values = course.begin(index, frames, clean[:, :, frames.start : frames.stop]), []
        for step in range(course.steps):
            course.advance(window)
            value = window.value
            assert value is not None
            if before is not None and course.joins(step):
                first = windows[index - 1].stop - tiling.overlap
                for place in range(tiling.overlap):
                    here = first + place - frames.start
                    left = before[step][:, :, len(windows[index - 1]) - tiling.overlap + place]
                    if course.blending.rule == "average":
                        value[:, :, here] = (value[:, :, here] + left) / 2
                    elif place < course.thresholds(index - 1, step):
                        value[:, :, here] = left
            values.append(value)
            course.settle(window)
        is_last = index == len(windows) - 1
        stop = frames.stop if is_last else frames.stop - tiling.overlap
        out.append(window.x[:, :, emitted - frames.start : stop - frames.start])
        emitted, before = stop, values
    return torch.cat(out, dim=2)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", BLENDINGS)
def test_streaming_equals_windows_one_after_another(name: str, solver: str) -> None:
    for total in (6, 7, 10, 19):
        plain, clean = course(solver, BLENDINGS[name]), video(total)
        difference = (stream(plain, clean) - one_after_another(plain, clean)).abs().max()
        assert difference <= 1e-5, f"{total} frames differ by {difference}"


def test_every_length_comes_out_whole() -> None:
    for total in range(6, 19):
        assert stream(course(), video(total)).shape[2] == total
        assert stream(course(blending=BLENDINGS["naive"], overlap=0), video(total)).shape[2] == total


def test_no_frame_waits_longer_than_a_window() -> None:
    live, clean, left = Live(course()), video(40), 0
    for come in range(1, 41):
        left += sum(part.shape[2] for part in live.push(clean[:, :, come - 1 : come]))
        assert come - left < live.delay == 6
        assert (left > 0) == (come >= 6)


def test_the_left_window_does_not_hear_of_the_right_one() -> None:
    clean = video(14)
    changed = clean.clone()
    changed[:, :, 6:] += 1
    assert torch.equal(stream(course(), clean)[:, :, :4], stream(course(), changed)[:, :, :4])


def test_memory_does_not_grow_with_the_video() -> None:
    live, clean, sizes = Live(course("dpm")), video(8), []
    for _ in range(30):
        live.push(clean)
        sizes.append(sum(tensor.numel() for tensor in live.tensors().values()))
    assert max(sizes[2:10]) == max(sizes[10:]), sizes


def test_a_restored_stream_goes_on_with_the_same_latents() -> None:
    for target in ("x0", "previous"):
        plain, clean = course("dpm", Blending(target=target)), video(23)  # type: ignore[arg-type]
        expected = stream(plain, clean)
        for cut in (1, 6, 9, 22):
            live = Live(plain)
            out = live.push(clean[:, :, :cut])
            saved = live.tensors()
            live.push(clean[:, :, cut:])
            again = Live(plain)
            again.restore(saved)
            out += [*again.push(clean[:, :, cut:]), *again.finish()]
            assert torch.equal(torch.cat(out, dim=2), expected), cut


def test_a_video_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(UserError, match="5 latent frames and a window 6"):
        stream(course(), video(5))
