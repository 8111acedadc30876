"""The exact mode against the whole-video loop."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from longtake.enhance.blending import BLENDINGS, Blending
from longtake.enhance.wavefront import Wavefront
from longtake.enhance.window import Course
from longtake.errors import UserError
from tests.enhance.tiny import tiny_denoiser
from tests.enhance.toy import SOLVERS, course, video, whole_video

EXCHANGING = [name for name, blending in BLENDINGS.items() if blending.exchanges]


def stream(course: Course, clean: Tensor, pieces: int = 1) -> Tensor:
    front = Wavefront(course)
    out = [part for piece in clean.split(pieces, dim=2) for part in front.push(piece)]
    return torch.cat([*out, *front.finish()], dim=2)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", EXCHANGING)
def test_streaming_equals_the_whole_video_loop(name: str, solver: str) -> None:
    for total in (6, 7, 10, 13, 19):
        plain, clean = course(solver, BLENDINGS[name]), video(total)
        difference = (stream(plain, clean) - whole_video(plain, clean)).abs().max()
        assert difference <= 1e-5, f"{total} frames differ by {difference}"


@pytest.mark.parametrize(("length", "overlap"), [(6, 3), (7, 1), (5, 2), (24, 8)])
def test_streaming_equals_the_loop_for_other_windows(length: int, overlap: int) -> None:
    for total in (length, length + 1, 2 * length, 3 * length - 2):
        plain, clean = course("dpm", Blending(target="x0"), length, overlap), video(total)
        assert (stream(plain, clean) - whole_video(plain, clean)).abs().max() <= 1e-5


def test_every_length_comes_out_whole() -> None:
    for total in range(6, 19):
        for name in BLENDINGS:
            assert stream(course("flow", BLENDINGS[name]), video(total)).shape[2] == total


@torch.inference_mode()
def test_a_wan_network_streams_as_in_the_whole_video_loop() -> None:
    network = tiny_denoiser()
    text = network.read("a red sphere")
    clean = torch.randn(1, 4, 9, 4, 4, generator=torch.Generator().manual_seed(0))
    for name in ("randomized", "randomized-x0-short", "average"):
        plain = course("flow", BLENDINGS[name], length=4, overlap=2)
        object.__setattr__(plain, "denoise", lambda x, level, frames: network.clean(x, level, text))
        difference = (stream(plain, clean) - whole_video(plain, clean)).abs().max()
        assert difference <= 1e-5, f"{name} differs by {difference}"


def test_both_forms_are_one_where_the_solver_remembers_nothing() -> None:
    clean = video(19)
    for solver, is_same in (("flow", True), ("ddim", True), ("dpm", False)):
        one, other = (stream(course(solver, Blending(target=target)), clean) for target in ("x0", "previous"))  # type: ignore[arg-type]
        assert torch.allclose(one, other, atol=1e-5) == is_same, solver


def test_grouping_of_what_comes_in_changes_nothing() -> None:
    plain, clean = course("ddim"), video(21)
    one_by_one = stream(plain, clean)
    for pieces in (2, 5, 21):
        assert torch.equal(stream(plain, clean, pieces), one_by_one)


def test_the_delay_is_as_many_windows_as_there_are_steps() -> None:
    plain = course()
    front, clean, first = Wavefront(plain), video(40), None
    for frame in range(40):
        if front.push(clean[:, :, frame : frame + 1]):
            first = frame + 1
            break
    assert first == front.delay == 6 + (plain.steps - 1) * 4


def test_memory_does_not_grow_with_the_video() -> None:
    front, clean, sizes = Wavefront(course("dpm")), video(8), []
    for _ in range(40):
        front.push(clean)
        sizes.append(sum(tensor.numel() for tensor in front.tensors().values()))
    assert max(sizes[10:20]) == max(sizes[20:]), sizes


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("target", ["x0", "previous"])
def test_a_restored_stream_goes_on_with_the_same_latents(solver: str, target: str) -> None:
    plain, clean = course(solver, Blending(target=target)), video(31)  # type: ignore[arg-type]
    expected = stream(plain, clean)
    for cut in (1, 9, 14, 21, 30):
        front = Wavefront(plain)
        out = front.push(clean[:, :, :cut])
        saved = front.tensors()
        front.push(clean[:, :, cut:])  # what happens after a snapshot does not reach into it
        again = Wavefront(plain)
        again.restore(saved)
        out += [*again.push(clean[:, :, cut:]), *again.finish()]
        assert torch.equal(torch.cat(out, dim=2), expected), cut


def test_a_video_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(UserError, match="5 latent frames and a window 6"):
        stream(course(), video(5))


def test_the_oracle_notices_a_join_in_the_wrong_place() -> None:
    """Planted bugs: another threshold at one join, and noise that is not shared, both show."""
    plain, clean = course(), video(23)
    right = whole_video(plain, clean)
    object.__setattr__(plain, "thresholds", _wrong(plain.thresholds))
    assert (stream(plain, clean) - right).abs().max() > 1e-3
    naive = stream(course(blending=BLENDINGS["naive"]), clean)
    assert (naive - stream(course(blending=BLENDINGS["shared"]), clean)).abs().max() > 1e-3


def _wrong(thresholds):  # type: ignore[no-untyped-def]
    def other(join: int, step: int) -> int:
        return 2 - thresholds(join, step) if (join, step) == (1, 2) else thresholds(join, step)

    found: Sequence[int] = [thresholds(1, 2)]
    assert found != [1]  # or the planted bug would change nothing
    return other
