"""Short stretches of toybox scenes, rendered with their truth: what the reader learns from and is measured
on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from longtake.world.labels import Labels, label, slots
from longtake.world.reader_config import ReaderConfig
from longtake.world.render import render
from longtake.world.scene import Scene, sample_scene

__all__ = ["Window", "WindowDraw", "draw_windows", "render_plate", "render_window"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowDraw:
    """How windows are drawn from toybox."""

    levels: tuple[float, ...] = (0.4, 0.4, 0.2)
    """Shares of levels 1, 2, 3."""
    split: str = "train"
    """Attribute combinations: train or held_out."""
    latest: float = 150.0
    """Latest second at which a window starts; half of them start within the first four."""
    event_share: float = 0.15
    """Share of scenes in which a colour or a motion changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One rendered window with its truth."""

    scene: Scene
    """What was rendered."""
    start: int
    """First frame."""
    frames: np.ndarray
    """uint8 [T, H, W, 3]."""
    masks: np.ndarray
    """uint8 [T, H, W]: colour index + 1, 0 for none."""
    labels: Labels
    """What a reader should say."""


def render_window(scene: Scene, start: int, config: ReaderConfig) -> Window:
    """Render `config.window` frames from frame `start` on, with truth."""
    size = (config.size, config.size)
    clip = render(scene, config.window, start=start, size=size, fps=config.fps, truth=True)
    times = (start + np.arange(config.window)) / config.fps
    assert clip.instances is not None
    masks = slots(scene, clip.instances, times)
    return Window(
        scene=scene, start=start, frames=clip.frames, masks=masks, labels=label(scene, masks, times)
    )


def render_plate(window: Window, config: ReaderConfig) -> np.ndarray:
    """The window's frames without its solids, uint8 [T, H, W, 3]."""
    size = (config.size, config.size)
    bare = replace(window.scene, solids=())
    return render(bare, config.window, start=window.start, size=size, fps=config.fps).frames


def draw_windows(draw: WindowDraw, config: ReaderConfig, *, seed: int, count: int) -> Iterator[Window]:
    """`count` windows, the same for the same arguments."""
    rng = np.random.Generator(np.random.Philox(key=(seed, 0x7EAD)))
    for index in range(count):
        level = int(rng.choice(3, p=np.array(draw.levels) / sum(draw.levels))) + 1
        latest = 4.0 if rng.random() < 0.5 else draw.latest
        start = int(rng.uniform(0.0, latest) * config.fps)
        event = str(rng.choice(["colour", "motion"])) if rng.random() < draw.event_share else None
        scene = sample_scene(seed * 100_000 + index, level=level, split=draw.split, event=event)
        yield render_window(scene, start, config)
