"""The stored set that the reader learns from: rendered windows, colour masks and labels, in shards.

A shard is `frames`, `masks` and `plates` as `.npy` files (memory-mapped when read) and `labels` as `.npz`, which is
written last: a shard counts once its labels are there. Plates are the first clips' scenes without their solids; the
training recipe shows through to them where it erases half of a solid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from longtake.errors import UserError
from longtake.world.labels import Labels, label, slots
from longtake.world.reader_net import ReaderConfig
from longtake.world.render import render
from longtake.world.scene import Scene, sample_scene

__all__ = ["ClipDraw", "Shards", "Window", "draw_windows", "make_shard", "render_window"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipDraw:
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
    masks = slots(scene, clip.instances, times)
    return Window(scene=scene, start=start, frames=clip.frames, masks=masks, labels=label(scene, masks, times))


def render_plate(window: Window, config: ReaderConfig) -> np.ndarray:
    """The window's frames without its solids, uint8 [T, H, W, 3]."""
    size = (config.size, config.size)
    bare = replace(window.scene, solids=())
    return render(bare, config.window, start=window.start, size=size, fps=config.fps).frames


def draw_windows(draw: ClipDraw, config: ReaderConfig, *, seed: int, count: int) -> Iterator[Window]:
    """`count` windows, the same for the same arguments."""
    rng = np.random.Generator(np.random.Philox(key=(seed, 0x7EAD)))
    for index in range(count):
        level = int(rng.choice(3, p=np.array(draw.levels) / sum(draw.levels))) + 1
        latest = 4.0 if rng.random() < 0.5 else draw.latest
        start = int(rng.uniform(0.0, latest) * config.fps)
        event = str(rng.choice(["colour", "motion"])) if rng.random() < draw.event_share else None
        scene = sample_scene(seed * 100_000 + index, level=level, split=draw.split, event=event)
        yield render_window(scene, start, config)


def make_shard(folder: Path, index: int, draw: ClipDraw, config: ReaderConfig, *, clips: int, plates: int) -> None:
    """Render shard `index` into `folder`; of its clips the first `plates` get a plate."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (config.window, config.size, config.size)
    frames = np.empty((clips, *shape, 3), np.uint8)
    masks = np.empty((clips, *shape), np.uint8)
    bare = np.empty((plates, *shape, 3), np.uint8)
    labels = []
    for i, window in enumerate(draw_windows(draw, config, seed=1_000 + index, count=clips)):
        frames[i], masks[i] = window.frames, window.masks
        labels.append(window.labels)
        if i < plates:
            bare[i] = render_plate(window, config)
    for name, values in (("frames", frames), ("masks", masks), ("plates", bare)):
        np.save(folder / f"{name}-{index:04d}.npy", values)
    np.savez(folder / f"labels-{index:04d}.npz", **Labels.stack(labels))


class Shards:
    """The finished shards of a folder; clips are numbered through."""

    def __init__(self, folder: Path) -> None:
        self.names = sorted(path.stem.removeprefix("labels-") for path in folder.glob("labels-*.npz"))
        if not self.names:
            raise UserError(f"{folder} holds no finished shard; make the set: longtake train reader-set --out {folder}")
        self.parts = {
            name: [np.load(folder / f"{name}-{shard}.npy", mmap_mode="r") for shard in self.names]
            for name in ("frames", "masks", "plates")
        }
        stored = [np.load(folder / f"labels-{shard}.npz") for shard in self.names]
        self.labels = {key: np.concatenate([each[key] for each in stored]) for key in stored[0].files}
        self.bounds = np.cumsum([0, *(len(part) for part in self.parts["frames"])])
        self.plated = np.concatenate(
            [start + np.arange(len(part)) for start, part in zip(self.bounds, self.parts["plates"], strict=False)]
        )

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def get(self, name: str, clip: int) -> np.ndarray:
        """`frames`, `masks` or (for clips in `plated`) `plates` of one clip."""
        shard = int(np.searchsorted(self.bounds, clip, side="right")) - 1
        return np.asarray(self.parts[name][shard][clip - self.bounds[shard]])
