"""Each figure follows an injected fault of known size, and stays where it is on a clean clip."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from longtake.measure.video.drift import Drift
from longtake.measure.video.pace import Pace
from longtake.world.render import render
from longtake.world.scene import sample_scene
from tests.measure.video.ranks import spearman

FPS = 8.0
FRAMES = 48
SIZES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
Fault = Callable[[np.ndarray, float, float], np.ndarray]
"""`(frame, size of the fault, how far into the video) → frame`."""


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """A scene of toybox in movement."""
    return render(sample_scene(11, level=1), FRAMES, size=(96, 96), fps=8).frames


def mixed(frame: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return np.clip(frame * (1.0 - share) + other * share, 0, 255).round().astype(np.uint8)


def tint(frame: np.ndarray, size: float, when: float) -> np.ndarray:
    return mixed(frame, np.full_like(frame, (255, 120, 40)), 0.6 * size * when)


def contrast(frame: np.ndarray, size: float, when: float) -> np.ndarray:
    return mixed(frame, np.full_like(frame, int(frame.mean())), 0.8 * size * when)


def blur(frame: np.ndarray, size: float, when: float) -> np.ndarray:
    sigma = 3.0 * size * when
    return cv2.GaussianBlur(frame, (0, 0), sigma) if sigma > 0.05 else frame


def saturation(frame: np.ndarray, size: float, when: float) -> np.ndarray:
    grey = np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
    return mixed(frame, grey, -0.8 * size * when)


def drifted(clip: np.ndarray, fault: Fault, size: float) -> np.ndarray:
    return np.stack([fault(frame, size, index / (len(clip) - 1)) for index, frame in enumerate(clip)])


def figures(meter: Drift | Pace, clip: np.ndarray) -> dict[str, float | int | None]:
    for frame in clip:
        meter.add(frame)
    return dict(meter.finish().values)


@pytest.mark.parametrize(
    ("name", "fault", "sign"),
    [
        ("drift_colour", tint, 1),
        ("drift_contrast", contrast, -1),
        ("drift_sharpness", blur, -1),
        ("drift_saturation", saturation, 1),
    ],
)
def test_drift_follows_its_fault(name: str, fault: Fault, sign: int, clean: np.ndarray) -> None:
    found = [figures(Drift(FPS), drifted(clean, fault, size))[name] for size in SIZES]
    assert sign * spearman(SIZES, found) >= 0.95, found
    assert abs(found[-1]) > 5 * abs(found[0]), f"the fault hardly shows: {found}"


def test_a_repeated_picture_does_not_drift(clean: np.ndarray) -> None:
    values = figures(Drift(FPS), np.repeat(clean[:1], FRAMES, 0))
    assert {name: value for name, value in values.items() if value} == {}


def test_a_clip_of_one_window_has_no_drift(clean: np.ndarray) -> None:
    meter = Drift(FPS)
    for frame in clean[:8]:
        meter.add(frame)
    found = meter.finish()
    assert found.values["drift_colour"] is None
    assert "one window" in found.notes["drift_colour"]


def test_identity_is_measured_in_the_encoders_space(clean: np.ndarray) -> None:
    def embed(frame: np.ndarray) -> np.ndarray:
        vector = frame.mean((0, 1)) - 100.0
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    found = [
        figures(Drift(FPS, embed=embed, embedder="colours"), drifted(clean, tint, size))["drift_identity"]
        for size in SIZES
    ]
    assert spearman(SIZES, found) >= 0.95


JOINS = tuple(range(9, FRAMES, 12))


def seamed(clip: np.ndarray, size: float) -> np.ndarray:
    """Every second chunk is darker."""
    chunk = np.searchsorted(JOINS, np.arange(len(clip)), side="right")
    return np.stack(
        [
            mixed(frame, np.zeros_like(frame), 0.3 * size * (k % 2))
            for frame, k in zip(clip, chunk, strict=True)
        ]
    )


def test_the_join_ratio_follows_the_seam_and_is_one_without(clean: np.ndarray) -> None:
    found = [figures(Pace(FPS, lambda: JOINS), seamed(clean, size))["join_ratio"] for size in SIZES]
    assert spearman(SIZES, found) >= 0.95, found
    assert found[0] == pytest.approx(1.0, abs=0.35)
    assert found[-1] > 3


def test_a_join_in_the_wrong_place_is_not_seen(clean: np.ndarray) -> None:
    moved = tuple(join + 6 for join in JOINS if join + 6 < FRAMES)
    assert figures(Pace(FPS, lambda: moved), seamed(clean, 1.0))["join_ratio"] == pytest.approx(1.0, abs=0.35)


def test_flicker_follows_the_lamp(clean: np.ndarray) -> None:
    found = []
    for size in SIZES:
        lamp = [mixed(frame, np.zeros_like(frame), 0.2 * size * (i % 2)) for i, frame in enumerate(clean)]
        found.append(figures(Pace(FPS), np.stack(lamp))["flicker"])
    assert spearman(SIZES, found) >= 0.95
    steady = [mixed(frame, np.zeros_like(frame), 0.5 * i / FRAMES) for i, frame in enumerate(clean)]
    assert figures(Pace(FPS), np.stack(steady))["flicker"] < found[1] + 0.5


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_stillness_is_the_share_of_repeated_frames(share: float, clean: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, clean.shape, dtype=np.uint8)
    held = round(share * (FRAMES - 1))
    clip = np.concatenate([np.repeat(noise[:1], held + 1, 0), noise[1 : FRAMES - held]])
    values = figures(Pace(FPS), clip)
    assert values["still_share"] == pytest.approx(held / (FRAMES - 1))
    assert values["still_longest_s"] == pytest.approx(held / FPS)
