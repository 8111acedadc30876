"""Every motion lasts for ever: in view, on the ground, without a jump."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from longtake.world import camera, motion
from longtake.world.pack import fill_bodies, pack
from longtake.world.pose import rotate
from longtake.world.scene import Scene, sample_scene
from longtake.world.shapes import support
from longtake.world.vocabulary import MOTIONS, SHAPES
from tests.world.scenes import alone, passing

FRAMES = 1200


def track(scene: Scene, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bodies [T, N, BODY_SIZE] and the picture's (x, y) of their middles [T, N, 2], -1 to 1 within the picture."""
    packed, view = pack(scene), np.zeros(camera.VIEW_SIZE)
    bodies = np.zeros((len(times), len(scene.solids), motion.BODY_SIZE))
    places = np.zeros((len(times), len(scene.solids), 2))
    for t, seconds in enumerate(times):
        camera.place(packed.camera, seconds, view)
        fill_bodies(packed, seconds, bodies[t])
        off = bodies[t, :, 2:5] - view[:3]
        places[t] = view[12] * (off @ view[3:9].reshape(2, 3).T) / (off @ view[9:12])[:, None]
    return bodies, places


@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_motion_stays_within_view_for_1200_frames(level: int) -> None:
    seen = set()
    for seed in range(40):
        scene = replace(sample_scene(seed, level=level), events=())
        solids = tuple(replace(s, legs=s.legs[:1], enters=None, leaves=None) for s in scene.solids)
        _, places = track(replace(scene, solids=solids), np.arange(0, FRAMES, 7) / 8)
        assert np.abs(places).max() < 1.0
        seen |= {solid.legs[0].motion for solid in solids}
    assert seen == set(MOTIONS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MOTIONS)
def test_solids_rest_on_the_ground_or_hop_above_it(shape: str, name: str) -> None:
    bodies, _ = track(alone(shape, "red", name), np.arange(400) / 20)
    for body in bodies[:, 0]:
        low = body[3] - body[1] * support(SHAPES.index(shape), *-body[8:11])
        assert low > -1e-9
        assert low < 1e-9 or name in ("bounce", "jump")
    heights = bodies[:, 0, 3]
    hops = np.ptp(heights) > 0.5 * bodies[0, 0, 1]
    assert hops == (name in ("bounce", "jump") or (name == "roll" and shape in ("cone", "pyramid")))


@pytest.mark.parametrize("name", MOTIONS)
def test_motion_shows_within_two_seconds(name: str) -> None:
    for seed in range(8):
        bodies, _ = track(alone("sphere", "red", name, seed=seed), np.arange(17) / 8)
        ground, height, turn = bodies[:, 0, [2, 4]], bodies[:, 0, 3], bodies[:, 0, 5:14]
        travels = np.linalg.norm(ground - ground[0], axis=-1).max() > 0.8
        assert travels == (name in ("slide", "roll", "bounce", "orbit"))
        assert (np.ptp(height) > 0.4) == (name in ("bounce", "jump"))
        assert (np.ptp(turn, axis=0).max() > 1.0) == (name in ("roll", "orbit"))


def test_a_rolling_sphere_does_not_slip() -> None:
    scene = alone("sphere", "red", "roll")
    leg, radius = scene.solids[0].legs[0], scene.solids[0].radius
    assert leg.spin * radius == pytest.approx(1.0)
    now, then = (motion.follow(np.array(motion.pack_leg(leg)), t) for t in (0.2, 0.2001))
    step = math.hypot(then[0] - now[0], then[1] - now[1])
    top = [np.array(rotate(place[3:], (0.0, 0.0, 1.0))) for place in (now, then)]
    assert np.linalg.norm(top[0] - top[1]) < 1e-9  # the axle keeps its direction
    side = [np.array(rotate(place[3:], (1.0, 0.0, 0.0))) for place in (now, then)]
    assert np.linalg.norm(side[0] - side[1]) * radius == pytest.approx(step, rel=1e-3)


HALF_A_TURN = (207, 255)
"""Seeds of level 1 whose motion changes between poses that pass half a turn apart meanwhile."""


@pytest.mark.parametrize("event", ["colour", "motion", None])
def test_events_are_continuous_in_place_and_pose(event: str | None) -> None:
    for seed in (*range(40), *HALF_A_TURN):
        scene = sample_scene(seed, level=3 if event is None else 1, event=event)
        for happened in scene.events:
            times = happened.at + np.arange(-0.3, 1.2, 0.005)
            bodies, _ = track(scene, times)
            moved = np.abs(np.diff(bodies[:, :, 2:5], axis=0)).max()
            turned = np.abs(np.diff(bodies[:, :, 5:14], axis=0)).max()
            assert moved < 0.08, (seed, happened)
            assert turned < 0.09, (seed, happened)


def drama(kind: str) -> list[Scene]:
    """Scenes of level 3 in which an event of a kind happens."""
    scenes = [sample_scene(seed, level=3) for seed in range(200)]
    return [scene for scene in scenes if [event.kind for event in scene.events] == [kind]]


def test_a_stopped_solid_stays_where_it_is() -> None:
    assert drama("stop")
    for scene in drama("stop"):
        event = scene.events[0]
        bodies, _ = track(scene, event.at + np.array([0.6, 30.0, 150.0]))
        assert np.ptp(bodies[:, event.solid, 2:14], axis=0).max() < 1e-9


def test_a_solid_that_reverses_in_mid_path_goes_back_the_way_it_came() -> None:
    tested = 0
    for scene in drama("reverse"):
        event, solid = scene.events[0], scene.solids[scene.events[0].solid]
        bodies, _ = track(scene, event.at + np.array([-0.01, 0.0, 0.6, 0.61]))
        ground = bodies[:, event.solid][:, [2, 4]]
        first = solid.legs[0]
        if first.motion == "orbit" or np.linalg.norm(ground[1] - first.origin) > 0.6 * first.reach:
            continue
        tested += 1
        assert (ground[1] - ground[0]) @ (ground[3] - ground[2]) < 0.0
    assert tested


def test_solids_come_from_outside_the_view_and_go_there() -> None:
    scene = passing()
    goer, stayer = scene.solids
    scene = replace(scene, solids=(replace(goer, enters=1.0), replace(stayer, leaves=3.0, side=-1.0)))
    bodies, places = track(scene, np.array([0.9, 1.01, 3.0, 4.5, 4.7]))
    assert list(bodies[:, 0, 21]) == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert list(bodies[:, 1, 21]) == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert places[1, 0, 0] > 1.2
    assert places[3, 1, 0] < -1.2
