"""An edit of the scene graph changes what it should and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from longtake.errors import UserError
from longtake.world.edit import edit, remove
from longtake.world.render import Clip, render
from longtake.world.scene import sample_scene
from longtake.world.state import state
from longtake.world.vocabulary import COLOURS

SCENE = next(
    scene
    for scene in (sample_scene(seed, level=2) for seed in range(99))
    if scene.camera.move == "static" and {s.legs[0].motion for s in scene.solids} == {"roll", "stay"}
)
ROLLER = next(i for i, solid in enumerate(SCENE.solids) if solid.legs[0].motion == "roll")
FREE = next(colour for colour in COLOURS if colour not in {solid.colour() for solid in SCENE.solids})


@pytest.fixture(scope="module")
def before() -> Clip:
    return render(SCENE, 8, truth=True)


def widened(mask: np.ndarray) -> np.ndarray:
    """The mask and its neighbours, where edges are softened."""
    wide = mask.copy()
    for axis in (1, 2):
        wide |= np.roll(wide, 1, axis) | np.roll(wide, -1, axis)
    return wide


@pytest.mark.parametrize("changes", [{"colour": FREE}, {"material": "metal"}, {"material": "matte"}])
def test_a_new_surface_changes_the_solid_s_own_pixels_only(before: Clip, changes: dict[str, str]) -> None:
    after = render(edit(SCENE, ROLLER, **changes), 8, truth=True)
    assert before.instances is not None
    assert after.depth is not None
    assert np.array_equal(before.instances, after.instances)
    assert np.array_equal(before.depth, after.depth)
    assert np.array_equal(before.flow, after.flow)
    differs = (before.frames != after.frames).any(-1)
    assert not (differs & ~widened(before.instances == ROLLER + 1)).any()
    assert differs.any() == (edit(SCENE, ROLLER, **changes) != SCENE)


def test_another_ground_changes_no_mask_and_no_depth(before: Clip) -> None:
    other = "sand" if SCENE.ground != "sand" else "grass"
    after = render(edit(SCENE, ground=other), 8, truth=True)
    assert np.array_equal(before.instances, after.instances)
    assert np.array_equal(before.depth, after.depth)
    assert not np.array_equal(before.frames, after.frames)


@pytest.mark.parametrize("shape", ["cone", "torus", "cube", "cylinder", "sphere", "pyramid"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_another_shape_or_size_goes_the_same_way(shape: str, size: str) -> None:
    edited = edit(SCENE, ROLLER, shape=shape, size=size)
    for seconds in (0.0, 1.3, 40.0):
        old, new = (state(scene, seconds).solids[ROLLER] for scene in (SCENE, edited))
        assert (new.shape, new.size, new.motion) == (shape, size, old.motion)
        assert (new.position[0], new.position[2]) == pytest.approx((old.position[0], old.position[2]))
        assert state(edited, seconds).solids[1 - ROLLER] == state(SCENE, seconds).solids[1 - ROLLER]


def test_another_motion_or_camera_leaves_the_rest(before: Clip) -> None:
    edited = edit(SCENE, ROLLER, motion="jump")
    assert state(edited).solids[ROLLER].motion == "jump"
    assert edited.solids[1 - ROLLER] == SCENE.solids[1 - ROLLER]
    assert edit(edited, ROLLER, motion="jump") == edited
    panned = edit(SCENE, camera="pan")
    assert panned.solids == SCENE.solids
    after = render(panned, 8)
    assert not np.array_equal(before.frames[0], after.frames[0]) or not np.array_equal(
        before.frames, after.frames
    )


def test_removing_a_solid_leaves_the_others() -> None:
    rest = remove(SCENE, ROLLER)
    assert rest.solids == (SCENE.solids[1 - ROLLER],)


def test_edits_that_cannot_be_made_are_refused() -> None:
    taken = SCENE.solids[1 - ROLLER].colour()
    with pytest.raises(UserError, match="belongs to another solid"):
        edit(SCENE, ROLLER, colour=taken)
    with pytest.raises(UserError, match="colour 'beige' is not known; use one of red"):
        edit(SCENE, colour="beige")
    with pytest.raises(UserError, match="solid 2 is not in the scene; use 0 to 1"):
        edit(SCENE, 2, colour=FREE)
    with pytest.raises(UserError, match="edit 'weight' is not known"):
        edit(SCENE, weight="heavy")  # type: ignore[call-arg]
