"""The stored training set: codec latents of toybox clips in shards, and batches drawn from them.

A shard is `shard-<number>.safetensors` (int8 latents and their scales, and where it is known how much of each cell
each solid covers; memory-mapped when read) beside `shard-<number>.json` (what each clip shows and how it may be
captioned). Every clip has the same number of latent frames and begins with an image latent. Two kinds: a *shot* is one
stretch of a take; a *jump* is the take's first block, followed by a stretch from later on, as a rolling window with a
sink sees it. Shards `images-<number>` hold single frames, from which stages of one frame draw when there are any.

A batch is a pure function of (seed, step) and of the shards in use. Shapes: B clips, C channels, T latent frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from longtake.errors import UserError
from longtake.train.counters import numbers
from longtake.train.quantise import restore

__all__ = ["Batch", "ClipRecord", "LatentSet", "Segment", "Shard", "shard_names"]

FORMAT = 1
VALIDATION = "validation"
CLIPS, IMAGES = "shard", "images"
"""How the names of training shards begin."""
UNGRADED = 0
"""Level of clips that are not of toybox: a set of them is drawn from whatever levels a stage asks for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch of a clip under one caption."""

    start: int
    """First latent frame of the clip that it describes."""
    captions: tuple[str, ...]
    """The caption in several wordings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipRecord:
    """What is known of one stored clip."""

    level: int
    """Toybox level, 1 to 3; `UNGRADED` for footage."""
    seed: int
    """Seed of the scene; of footage the clip's number in its video."""
    start: int
    """Pixel frame of the shot at which the clip (of a jump: its later part) begins."""
    jump: bool
    """Whether the first block is the shot's beginning, apart from the rest."""
    split: str
    """`train` or `held_out`."""
    attributes: Mapping[str, Any]
    """Summary of the scene: ground, camera, events, and per solid shape, colour, motion."""
    segments: tuple[Segment, ...]
    """Captions in force, by latent frame; the first starts at 0."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        segments = [[segment.start, list(segment.captions)] for segment in self.segments]
        names = ("level", "seed", "start", "jump", "split", "attributes")
        return {name: getattr(self, name) for name in names} | {"segments": segments}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ClipRecord:
        """What `to_dict` wrote."""
        segments = tuple(Segment(start=start, captions=tuple(texts)) for start, texts in record["segments"])
        return cls(**{**record, "segments": segments})


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Clips as stored, all T latent frames of each."""

    latents: Tensor
    """`[B, C, T, h, w]` float32."""
    shares: Tensor | None
    """`[B, S, T, h, w]` float32, how much of each cell each solid covers; None where the set does not know."""
    records: tuple[ClipRecord, ...]
    """One a clip."""


class Shard:
    """One shard, memory-mapped."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        try:
            sidecar = json.loads((folder / f"{name}.json").read_text())
            with safe_open(folder / f"{name}.safetensors", "pt") as file:
                self.latents: Tensor = file.get_tensor("latents")
                self.scales: Tensor = file.get_tensor("scales")
                known = "shares" in file.keys()  # noqa: SIM118, not a mapping
                self.shares: Tensor | None = file.get_tensor("shares") if known else None
        except (OSError, SafetensorError, json.JSONDecodeError) as reason:
            raise UserError(
                f"shard {folder / name} cannot be read ({reason}); delete it and make it again"
            ) from None
        if sidecar.get("format") != FORMAT:
            raise UserError(
                f"shard {folder / name} has format {sidecar.get('format')}; this version reads {FORMAT}"
            )
        self.records = tuple(ClipRecord.from_dict(record) for record in sidecar["clips"])

    def clips(self, index: Sequence[int]) -> Tensor:
        """Latents `[len(index), C, T, h, w]` float32."""
        steps = self.latents[torch.as_tensor(index)]
        image = torch.arange(steps.shape[2]) == 0
        return restore(steps, self.scales, image)


def shard_names(folder: Path, kind: str = CLIPS) -> tuple[str, ...]:
    """Finished training shards of a folder, in order; a shard counts once its sidecar is there."""
    return tuple(sorted(path.stem for path in folder.glob(f"{kind}-*.json")))


Places = dict[tuple[int, bool], np.ndarray]


class LatentSet:
    """Shards of a folder as one set to draw from."""

    def __init__(self, folder: Path, names: Sequence[str] | None = None, *, seed: int = 0) -> None:
        """Open the shards `names` (default: all finished ones). Raises UserError when there is nothing to read."""
        self.folder, self.seed = folder, seed
        every = shard_names(folder) + shard_names(folder, IMAGES)
        self.names = every if names is None else tuple(names)
        if not self.names:
            raise UserError(
                f"{folder} holds no finished shard; make the set: longtake train latents --out {folder}, "
                f"or of your videos: longtake data prepare VIDEOS --out {folder}"
            )
        self.shards = tuple(Shard(folder, name) for name in self.names)

    def __len__(self) -> int:
        return sum(len(shard.records) for shard in self.shards)

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """`(C, T, h, w)` of a clip."""
        c, t, h, w = max((shard.latents.shape[1:] for shard in self.shards), key=lambda shape: shape[1])
        return c, t, h, w

    def check_length(self, frames: int) -> None:
        """Raise UserError where more latent frames are asked for than a clip has."""
        stored = self.latent_shape[1]
        if frames > stored:
            raise UserError(
                f"{self.folder} holds clips of {stored} latent frames, {frames} are asked for; "
                f"use {stored} or fewer in every stage, or make a set of longer clips"
            )

    @cached_property
    def _clips(self) -> Places:
        return self._places(IMAGES, False)

    @cached_property
    def _images(self) -> Places:
        return self._places(IMAGES, True)

    def _places(self, prefix: str, having: bool) -> Places:
        """For each (level, jump), the `(shard, clip)` pairs `[n, 2]` that hold one, in shards so named or not."""
        places: dict[tuple[int, bool], list[tuple[int, int]]] = {}
        for s, shard in enumerate(self.shards):
            if shard.name.startswith(prefix) == having:
                for c, record in enumerate(shard.records):
                    places.setdefault((record.level, record.jump), []).append((s, c))
        return {key: np.array(value) for key, value in places.items()}

    @cached_property
    def is_footage(self) -> bool:
        """Whether it holds clips of videos, which have no levels."""
        return any(level == UNGRADED for level, _ in self._clips)

    def batch(
        self, step: int, jumps: Sequence[bool], levels: Mapping[int, float], *, single: bool = False
    ) -> Batch:
        """One clip for each entry of `jumps` (True asks for a jump), its level drawn by weight.

        single: only the first frame is wanted, so one of a shard of single frames will do. Levels that the set lacks
        are an error; where a level has no jump, a shot is given, and the other way round.
        """
        places = self._images if single and self._images else self._clips
        rng = numbers(self.seed, "clips", step)
        if self.is_footage:
            levels = {UNGRADED: 1.0}
        known = sorted(levels)
        absent = [level for level in known if not any((level, jump) in places for jump in (False, True))]
        if absent:
            raise UserError(
                f"{self.folder} has no clips of level {absent}; make some, or take them out of the stage"
            )
        weights = np.array([levels[level] for level in known], dtype=np.float64)
        drawn = rng.choice(known, size=len(jumps), p=weights / weights.sum())
        where = rng.random(len(jumps))
        pools = [
            places[(level, jump) if (level, jump) in places else (level, not jump)]
            for level, jump in zip(drawn.tolist(), jumps, strict=True)
        ]
        return self.take([tuple(pool[int(u * len(pool))]) for pool, u in zip(pools, where, strict=True)])

    def take(self, places: Sequence[tuple[int, int]]) -> Batch:
        """The clips at `(shard, clip)` places, in that order."""
        latents = torch.cat([self.shards[s].clips([c]) for s, c in places])
        known = [(self.shards[s].shares, c) for s, c in places]
        shares = [each[c] for each, c in known if each is not None]
        return Batch(
            latents=latents,
            shares=torch.stack(shares).float() / 255 if len(shares) == len(places) else None,
            records=tuple(self.shards[s].records[c] for s, c in places),
        )

    def spread(self, count: int) -> Batch:
        """Clips spread evenly over the set."""
        places = [(s, c) for s, shard in enumerate(self.shards) for c in range(len(shard.records))]
        return self.take([places[i * len(places) // count] for i in range(count)])
