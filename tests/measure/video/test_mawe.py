"""MAWE on clips whose flow is known exactly: the flow is given, so the expected values are exact too."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.measure.video.flow import Dis
from longtake.measure.video.mawe import SIDE, Mawe
from longtake.measure.video.warp import paper_warp_error, reference_warp_error

RNG = np.random.default_rng(0)


class Known:
    """A flow backend that knows the answer: the picture moves by (x, y) pixels of the 720 × 720 frame."""

    name = "known"

    def __init__(self, x: float, y: float) -> None:
        self.shift, self.turn = np.array([x, y], np.float32), 0

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        self.turn += 1
        sign = 1 if self.turn % 2 else -1  # there, then back
        return np.broadcast_to(sign * self.shift, (*first.shape[:2], 2)).copy()


def noise(side: int = SIDE) -> np.ndarray:
    return RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)


def moved(frame: np.ndarray, x: int, y: int) -> np.ndarray:
    return np.roll(frame, (y, x), (0, 1))


def values_of(meter: Mawe, *frames: np.ndarray) -> dict[str, float | None]:
    for frame in frames:
        meter.add(frame)
    return dict(meter.finish().values)


@pytest.mark.parametrize(("x", "y"), [(3, 0), (-5, 2), (0, -7)])
def test_a_whole_shift_that_the_flow_knows_has_no_warp_error(x: int, y: int) -> None:
    frame = noise()
    values = values_of(Mawe(Known(x, y), 8.0), frame, moved(frame, x, y))
    length = float(np.hypot(x, y))
    assert values["mawe_reference"] == values["mawe_paper"] == values["warp_error"] == 0.0
    assert values["flow_mean"] == pytest.approx(length, rel=1e-6)
    assert values["flow_square"] == pytest.approx(length**2, rel=1e-6)
    assert values["flow_deviation"] == 0.0


def test_the_figures_of_a_picture_that_brightens_by_ten_while_it_moves_by_four() -> None:
    frame = RNG.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)
    values = values_of(Mawe(Known(4, 0), 8.0), frame, moved(frame, 4, 0) + np.uint8(10))
    assert values["mawe_reference"] == pytest.approx(100 / (9.5 * 4))  # mean over the channels
    assert values["warp_error"] == pytest.approx(300)  # squared distance of RGB values
    assert values["mawe_paper"] == pytest.approx(300 / 16)


def test_the_reference_form_is_a_mean_of_ratios_and_the_papers_a_ratio_of_means() -> None:
    class Growing(Known):
        def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
            self.shift = np.array([1.0 if self.turn < 2 else 4.0, 0.0], np.float32)
            return super().__call__(first, second)

    frame = RNG.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)
    second = moved(frame, 1, 0) + np.uint8(10)
    values = values_of(Mawe(Growing(0, 0), 8.0), frame, second, moved(second, 4, 0) + np.uint8(10))
    assert values["mawe_reference"] == pytest.approx((100 / 9.5 / 1 + 100 / 9.5 / 4) / 2)
    assert values["mawe_paper"] == pytest.approx(300 / ((1 + 16) / 2))
    assert values["flow_deviation"] == pytest.approx(1.5)


def test_a_static_clip_blows_up_and_is_flagged_instead_of_scored() -> None:
    frame = noise()
    meter = Mawe(Known(0, 0), 8.0)
    for _ in range(3):
        meter.add(frame)
    found = meter.finish()
    assert found.values["mawe_reference"] is None
    assert found.values["mawe_paper"] is None
    assert "static" in found.notes["mawe_reference"]
    assert found.values["flow_mean"] == 0.0


def test_a_nearly_static_noisy_clip_is_punished() -> None:
    still = values_of(Mawe(Known(0.01, 0), 8.0), noise(), noise())
    assert still["mawe_reference"] is not None
    # two independent uniform pictures differ by 2·(256² − 1)/12 in the mean square
    assert still["mawe_reference"] == pytest.approx(2 * (256**2 - 1) / 12 / (9.5 * 0.01), rel=0.01)


def test_pixels_that_nothing_lands_on_and_targets_outside_are_left_out() -> None:
    frame = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    flow = np.zeros((4, 4, 2), np.float32)
    flow[..., 0] = 2.0
    second = np.full_like(frame, 255)
    second[:, 2:] = frame[:, :2]
    assert reference_warp_error(frame, second, flow) == 0.0
    second[0, 2] += 6
    assert reference_warp_error(frame, second, flow) == pytest.approx(36 / 8)  # of 8 pixels that are known


def test_the_last_writer_wins_and_halves_round_to_even() -> None:
    frame, second = np.zeros((1, 3, 3), np.uint8), np.zeros((1, 3, 3), np.uint8)
    frame[0], second[0] = [[10], [20], [30]], [[10], [30], [20]]
    flow = np.zeros((1, 3, 2), np.float32)
    flow[0, :, 0] = (1.0, 0.0, -1.0)  # all three land in the middle
    assert reference_warp_error(frame, second, flow) == 0.0
    flow[0, :, 0] = (0.5, 0.5, 5.0)  # 0.5 → 0, 1.5 → 2, outside
    assert reference_warp_error(frame, second, flow) == 0.0


def test_nothing_that_lands_inside_counts_as_no_error() -> None:
    frame = noise(8)
    assert reference_warp_error(frame, noise(8), np.full((8, 8, 2), 100.0, np.float32)) == 0.0


def test_occluded_pixels_are_left_out_of_the_papers_form() -> None:
    """A bright square moves over a still ground: what it uncovers and covers must not count."""
    first, second = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    first[20:40, 10:30], second[20:40, 18:38] = 200, 200
    flow, back = np.zeros((64, 64, 2), np.float32), np.zeros((64, 64, 2), np.float32)
    flow[20:40, 10:30, 0], back[20:40, 18:38, 0] = 8.0, -8.0
    assert paper_warp_error(first, second, flow, back) == 0.0
    assert paper_warp_error(first, second, flow, np.zeros_like(back)) is not None  # ground only
    blind = paper_warp_error(first, second, np.zeros_like(flow), np.zeros_like(back))
    assert blind == pytest.approx(2 * 20 * 8 * 3 * 200**2 / 64**2)


def test_one_frame_has_no_figures_and_says_so() -> None:
    meter = Mawe(Known(1, 0), 8.0)
    meter.add(noise(32))
    found = meter.finish()
    assert set(found.values.values()) == {None}
    assert all("two frames" in note for note in found.notes.values())


def test_flow_is_given_at_the_videos_own_size() -> None:
    frame = noise(90)[:, :60]
    values = values_of(Mawe(Known(12, 0), 8.0), frame, frame)
    assert values["flow_mean"] == pytest.approx(12 * 60 / SIDE)


def test_dis_finds_a_shift_of_a_smooth_texture() -> None:
    import cv2

    frame = cv2.GaussianBlur(noise(240), (0, 0), 3)
    frame = cv2.normalize(frame, None, 0, 255, cv2.NORM_MINMAX)
    flow = Dis()(frame, moved(frame, 3, -2))[40:-40, 40:-40]
    assert np.median(flow[..., 0]) == pytest.approx(3, abs=0.2)
    assert np.median(flow[..., 1]) == pytest.approx(-2, abs=0.2)
