"""Held-out prompts: scenes whose attribute combinations and wordings no training has seen, and what they ask
for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from longtake.world.captions import caption, caption_segments
from longtake.world.render import render
from longtake.world.scene import Scene, sample_scene
from longtake.world.state import SceneState, state

__all__ = ["Asked", "AskedSolid", "Case", "asked_of", "change_cases", "held_out_cases"]

FIRST_SEED = 7_000_000
"""Seeds of the benchmark's scenes; training draws its own from below."""
EVENT_SEED = 8_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedSolid:
    """A solid that a prompt asks for."""

    colour: str
    """One of vocabulary.COLOURS."""
    shape: str
    """One of vocabulary.SHAPES."""
    motion: str
    """One of vocabulary.MOTIONS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a prompt asks for."""

    solids: tuple[AskedSolid, ...]
    """The solids."""
    ground: str
    """One of vocabulary.GROUNDS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A prompt with the scene that it describes."""

    key: str
    """Name within the benchmark."""
    seed: int
    """Seed of the take."""
    scene: Scene
    """The scene; its rendering is the upper bound."""
    prompt: str
    """Held-out wording of the scene at second 0."""
    asked: Asked
    """What the prompt asks for."""
    change: tuple[float, str, Asked] | None = None
    """Second of the change, prompt from there on, and what that asks for."""

    def truth(self, num_frames: int, *, start: int = 0, size: tuple[int, int], fps: int) -> np.ndarray:
        """The scene itself, uint8 [T, H, W, 3]."""
        return render(self.scene, num_frames, start=start, size=size, fps=fps).frames


def asked_of(moment: SceneState) -> Asked:
    """What a caption of this state asks for."""
    solids = tuple(
        AskedSolid(colour=solid.colour, shape=solid.shape, motion=solid.motion) for solid in moment.solids
    )
    return Asked(solids=solids, ground=moment.ground)


def held_out_cases(level: int, count: int, *, first: int = FIRST_SEED) -> list[Case]:
    """`count` held-out scenes of a level, the same every time."""
    cases = []
    for index in range(count):
        scene = sample_scene(first + index, level=level, split="held_out")
        cases.append(
            Case(
                key=f"level{level}-{index:04d}",
                seed=index,
                scene=scene,
                prompt=caption(scene, split="held_out"),
                asked=asked_of(state(scene)),
            )
        )
    return cases


def change_cases(level: int, count: int, at: float, *, first: int = EVENT_SEED) -> list[Case]:
    """Held-out scenes in which at second `at` a colour (even cases) or a motion (odd ones) changes."""
    cases = []
    for index in range(count):
        event = "colour" if index % 2 == 0 else "motion"
        scene = sample_scene(first + index, level=level, split="held_out", event=event, event_at=at)
        _, (_, after) = caption_segments(scene, split="held_out")
        cases.append(
            Case(
                key=f"change{level}-{index:04d}",
                seed=index,
                scene=scene,
                prompt=caption(scene, split="held_out"),
                asked=asked_of(state(scene)),
                change=(at, after, asked_of(state(scene, at))),
            )
        )
    return cases
