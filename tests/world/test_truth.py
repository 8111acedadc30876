"""The truth agrees with itself and with the picture."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.world.camera import View
from longtake.world.render import Clip, render
from longtake.world.scene import sample_scene
from tests.world.scenes import alone

SEEDS = range(6)
START = 14
"""Before the events of level 3 that come early, within blends of others."""


def unproject(depth: np.ndarray, view: View) -> np.ndarray:
    """World points [H, W, 3] of the pixels' middles."""
    height, width = depth.shape
    y, x = np.mgrid[:height, :width] + 0.5
    u, v = (x - width / 2) / view.pixels, (height / 2 - y) / view.pixels
    axes = [np.array(axis) for axis in (view.right, view.up, view.forward)]
    rays = u[..., None] * axes[0] + v[..., None] * axes[1] + axes[2]
    return np.array(view.eye) + depth[..., None] * rays


@pytest.fixture(scope="module", params=[1, 2, 3])
def clips(request: pytest.FixtureRequest) -> list[tuple[int, Clip]]:
    return [(s, render(sample_scene(s, level=request.param), 6, start=START, truth=True)) for s in SEEDS]


def test_depth_puts_ground_on_the_ground_and_solids_where_the_scene_graph_says(
    clips: list[tuple[int, Clip]],
) -> None:
    for _, clip in clips:
        assert clip.depth is not None
        assert clip.instances is not None
        assert clip.cameras is not None
        assert clip.graphs is not None
        for t in range(len(clip.frames)):
            points = unproject(np.nan_to_num(clip.depth[t], posinf=0.0), clip.cameras[t])
            ground = (clip.instances[t] == 0) & np.isfinite(clip.depth[t])
            assert np.abs(points[ground][:, 1]).max() < 1e-3 * clip.depth[t][ground].max()
            for solid in clip.graphs[t].solids:
                own = points[clip.instances[t] == solid.index + 1]
                assert np.linalg.norm(own - solid.position, axis=-1).max(initial=0.0) < 1.6
                assert own[:, 1].min(initial=0.0) > -1e-3


def test_masks_name_solids_that_are_there(clips: list[tuple[int, Clip]]) -> None:
    for _, clip in clips:
        assert clip.instances is not None
        assert clip.graphs is not None
        for mask, graph in zip(clip.instances, clip.graphs, strict=True):
            assert set(np.unique(mask)) - {0} <= {solid.index + 1 for solid in graph.solids}


def warped(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The next frame fetched back along the flow, bilinear."""
    height, width, _ = frame.shape
    y, x = np.mgrid[:height, :width].astype(float)
    x, y = np.clip(x + flow[..., 0], 0, width - 1.001), np.clip(y + flow[..., 1], 0, height - 1.001)
    x0, y0 = x.astype(int), y.astype(int)
    u, v = (x - x0)[..., None], (y - y0)[..., None]
    values = frame.astype(float)
    top = values[y0, x0] * (1 - u) + values[y0, x0 + 1] * u
    return top * (1 - v) + (values[y0 + 1, x0] * (1 - u) + values[y0 + 1, x0 + 1] * u) * v


def test_next_frame_fetched_back_along_the_flow_is_this_frame(clips: list[tuple[int, Clip]]) -> None:
    """But for light that changes: shadows move over the ground, and sides turn from and to the light."""
    fetched, plain = [], []
    for _, clip in clips:
        assert clip.flow is not None
        assert clip.occluded is not None
        for t in range(len(clip.frames) - 1):
            seen = ~clip.occluded[t]
            this = clip.frames[t].astype(float)
            fetched.append(np.abs(warped(clip.frames[t + 1], clip.flow[t]) - this).mean(-1)[seen].mean())
            plain.append(np.abs(clip.frames[t + 1] - this).mean(-1)[seen].mean())
    assert np.mean(fetched) < 2.5
    assert np.mean(fetched) < 0.75 * np.mean(plain) + 0.1


def test_flow_lands_on_the_same_solid_unless_hidden(clips: list[tuple[int, Clip]]) -> None:
    for _, clip in clips:
        assert clip.flow is not None
        assert clip.occluded is not None
        assert clip.instances is not None
        height, width = clip.instances.shape[1:]
        for t in range(len(clip.frames) - 1):
            y, x = np.nonzero(~clip.occluded[t])
            to = np.stack([y, x], -1) + 0.5 + clip.flow[t][y, x][:, ::-1]
            row, column = np.clip(to.astype(int), 0, (height - 1, width - 1)).T
            same = clip.instances[t][y, x] == clip.instances[t + 1][row, column]
            assert same.mean() > 0.99


def test_a_still_scene_has_no_flow_and_nothing_hidden() -> None:
    clip = render(alone(motion="stay"), 2, truth=True)
    assert clip.flow is not None
    assert clip.occluded is not None
    assert np.abs(clip.flow).max() < 1e-4
    assert not clip.occluded.any()


def test_a_solid_that_moves_hides_the_ground_before_it() -> None:
    clip = render(alone(motion="slide"), 2, truth=True)
    assert clip.flow is not None
    assert clip.occluded is not None
    assert clip.instances is not None
    own = clip.instances[0] == 1
    assert np.abs(clip.flow[0][own]).max() > 0.5
    assert np.abs(clip.flow[0][~own]).max() < 1e-4
    assert 0 < clip.occluded[0][~own].sum() < 200


def test_without_truth_there_is_only_the_picture() -> None:
    clip = render(alone(), 1)
    assert (clip.depth, clip.instances, clip.flow, clip.occluded, clip.cameras, clip.graphs) == (None,) * 6
