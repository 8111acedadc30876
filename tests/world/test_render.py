"""A frame is a function of the scene and the frame's number: the same bytes however it is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.errors import UserError
from longtake.world import camera, motion
from longtake.world.pack import fill_bodies, pack
from longtake.world.render import _rows, _sample, render
from longtake.world.scene import Scene, sample_scene
from longtake.world.vocabulary import COLOURS, GROUNDS
from tests.world.scenes import alone

SIZE = (48, 48)
MOVING_CAMERA = next(s for s in (sample_scene(i, level=3) for i in range(99)) if s.camera.move == "orbit")
SCENES = [sample_scene(0, level=1), sample_scene(1, level=2), MOVING_CAMERA]


@pytest.mark.parametrize("scene", SCENES, ids=["level 1", "level 2", "moving camera"])
def test_grouping_start_and_threads_change_no_byte(scene: Scene) -> None:
    whole = render(scene, 12, size=SIZE).frames
    assert np.array_equal(whole, render(scene, 12, size=SIZE).frames)
    assert np.array_equal(whole, render(scene, 12, size=SIZE, threads=3).frames)
    for group in (1, 5):
        parts = [render(scene, min(group, 12 - i), start=i, size=SIZE).frames for i in range(0, 12, group)]
        assert np.array_equal(whole, np.concatenate(parts))


def test_far_frames_cost_no_more_and_equal_those_of_another_rate_at_the_same_moment() -> None:
    far = render(SCENES[0], 2, start=1200, size=SIZE).frames
    assert np.array_equal(far[0], render(SCENES[0], 1, start=2400, size=SIZE, fps=16).frames[0])
    assert not np.array_equal(far[0], far[1])


def brute(scene: Scene, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame and its surfaces without any of the renderer's short cuts, before edges are softened."""
    packed, (height, width) = pack(scene), SIZE
    view, bodies = np.zeros(camera.VIEW_SIZE), np.zeros((len(scene.solids), motion.BODY_SIZE))
    camera.place(packed.camera, frame / 8, view)
    fill_bodies(packed, frame / 8, bodies)
    rects = np.tile(np.array([0, width, 0, height]), (len(scene.solids), 1))
    rows = np.zeros((height, 2))
    _rows(view, height, width, rows)
    fixed = (packed.light, packed.tile, packed.ground, height, width)
    samples = [
        [_sample(view, rows, bodies, rects, *fixed, x + 0.5, y + 0.5, False) for x in range(width)]
        for y in range(height)
    ]
    return np.array(samples)[..., 1:].astype(np.uint8), np.array(samples)[..., 0]


@pytest.mark.parametrize("scene", SCENES, ids=["level 1", "level 2", "moving camera"])
def test_sampling_only_what_solids_cover_or_shade_equals_sampling_everything(scene: Scene) -> None:
    plain, surfaces = brute(scene, 5)
    inside = np.ones(SIZE, dtype=bool)
    for axis in (0, 1):
        edge = np.diff(surfaces, axis=axis) != 0
        low, high = [slice(None)] * 2, [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        inside[tuple(low)] &= ~edge
        inside[tuple(high)] &= ~edge
    difference = np.abs(plain.astype(int) - render(scene, 1, start=5, size=SIZE).frames[0]).max(-1)
    # The empty stage is lit by exactly 1, a solid that is near but shades nothing by a product of ones.
    assert difference[inside].max() <= 1
    assert inside.mean() > 0.6


@pytest.mark.parametrize("size", [(32, 80), (80, 32), (1, 1), (17, 33), (192, 192)])
def test_any_size_is_filmed(size: tuple[int, int]) -> None:
    clip = render(SCENES[1], 2, size=size, truth=True)
    assert clip.frames.shape == (2, *size, 3)
    assert clip.flow is not None
    assert clip.flow.shape == (2, *size, 2)


@pytest.mark.parametrize("ground", GROUNDS)
def test_colours_stay_apart_on_every_ground(ground: str) -> None:
    """Mean colours of the solid's own pixels differ between any two colours, and from the ground's."""
    seen = {}
    for colour in COLOURS:
        scene = alone("sphere", colour, "stay")
        scene = Scene(solids=scene.solids, ground=ground)
        clip = render(scene, 1, truth=True)
        assert clip.instances is not None
        seen[colour] = clip.frames[0][clip.instances[0] == 1].mean(0)
        seen["ground"] = clip.frames[0][clip.instances[0] == 0].mean(0)
    names = list(seen)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert np.linalg.norm(seen[one] - seen[other]) > 30, (one, other)


def test_rolling_is_seen_and_standing_still_is_still() -> None:
    still = render(alone(motion="stay"), 8).frames
    assert np.array_equal(still[0], still[-1])
    rolls, slides = (render(alone(motion=name), 8, truth=True) for name in ("roll", "slide"))
    for clip, least, most in ((rolls, 6.0, 255.0), (slides, 0.0, 4.0)):
        assert clip.instances is not None
        mean = [frame[mask == 1].mean(0) for frame, mask in zip(clip.frames, clip.instances, strict=True)]
        assert least <= np.ptp(np.array(mean), axis=0).max() <= most


def test_bad_requests_are_refused_in_words() -> None:
    with pytest.raises(UserError, match="at least 1 frame"):
        render(SCENES[0], 0)
    with pytest.raises(UserError, match="from frame 0"):
        render(SCENES[0], 1, start=-1)
    with pytest.raises(UserError, match="size 0x96"):
        render(SCENES[0], 1, size=(0, 96))
    with pytest.raises(UserError, match="fps 0"):
        render(SCENES[0], 1, fps=0)
