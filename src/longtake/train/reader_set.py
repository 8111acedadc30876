"""The stored set that the reader learns from: rendered windows, colour masks and labels, in shards.

A shard is `frames`, `masks`, `plates` and `coded` as `.npy` files (memory-mapped when read) and `labels` as
`.npz`, which is written last: a shard counts once its labels are there. Plates are scenes without their
solids, which show where the recipe erases half of one; coded windows have been through the generator's codec.
A shard's first clips have both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import UserError
from longtake.world.labels import Labels
from longtake.world.reader_config import ReaderConfig
from longtake.world.windows import WindowDraw, draw_windows, render_plate

__all__ = ["RoundTrip", "ShardPlan", "Shards", "make_shard"]

RoundTrip = Callable[[np.ndarray], np.ndarray]
"""Frames uint8 [T, H, W, 3] as a codec gives them back."""
KINDS = ("frames", "masks", "plates", "coded")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardPlan:
    """What a shard holds."""

    draw: WindowDraw
    """How its windows are drawn."""
    clips: int
    """How many."""
    plates: int
    """How many of them have a plate."""
    coded: int = 0
    """How many of them have been through the codec too."""


def make_shard(
    folder: Path, index: int, plan: ShardPlan, config: ReaderConfig, round_trip: RoundTrip | None = None
) -> None:
    """Render shard `index` into `folder`; without a codec nothing is coded."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (config.window, config.size, config.size)
    counts = {"plates": plan.plates, "coded": plan.coded if round_trip else 0}
    arrays = {
        name: np.empty((counts.get(name, plan.clips), *shape, *(() if name == "masks" else (3,))), np.uint8)
        for name in KINDS
    }
    labels = []
    for i, window in enumerate(draw_windows(plan.draw, config, seed=1_000 + index, count=plan.clips)):
        arrays["frames"][i], arrays["masks"][i] = window.frames, window.masks
        labels.append(window.labels)
        if i < counts["plates"]:
            arrays["plates"][i] = render_plate(window, config)
        if round_trip and i < counts["coded"]:
            arrays["coded"][i] = round_trip(window.frames)
    for name, values in arrays.items():
        np.save(folder / f"{name}-{index:04d}.npy", values)
    stacked: dict[str, Any] = dict(Labels.stack(labels))
    np.savez(folder / f"labels-{index:04d}.npz", **stacked)


class Shards:
    """The finished shards of a folder; clips are numbered through."""

    def __init__(self, folder: Path) -> None:
        self.names = sorted(path.stem.removeprefix("labels-") for path in folder.glob("labels-*.npz"))
        if not self.names:
            raise UserError(
                f"{folder} holds no finished shard; train renders it: longtake train reader --data {folder}"
            )
        self.parts = {
            name: [np.load(folder / f"{name}-{shard}.npy", mmap_mode="r") for shard in self.names]
            for name in KINDS
        }
        stored = [np.load(folder / f"labels-{shard}.npz") for shard in self.names]
        self.labels = {key: np.concatenate([each[key] for each in stored]) for key in stored[0].files}
        self.bounds = np.cumsum([0, *(len(part) for part in self.parts["frames"])])

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def having(self, name: str) -> np.ndarray:
        """Numbers of the clips that have `plates` or `coded`."""
        pairs = zip(self.bounds, self.parts[name], strict=False)
        return np.concatenate([start + np.arange(len(part)) for start, part in pairs])

    def get(self, name: str, clip: int) -> np.ndarray:
        """`frames` or `masks` of one clip; `plates` or `coded` of one that has it."""
        shard = int(np.searchsorted(self.bounds, clip, side="right")) - 1
        return np.asarray(self.parts[name][shard][clip - self.bounds[shard]])
