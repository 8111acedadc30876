"""Batches for the stages: clips of the stored set with their captions, a function of seed, step and purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.train.config import Stage
from longtake.train.counters import numbers
from longtake.train.crops import Captions, caption_frames, crop_frames, draw_crops
from longtake.train.distil.config import DistilConfig
from longtake.train.store import VALIDATION, Batch, LatentSet

__all__ = ["ClipBatch", "Clips", "Source", "first_captions", "silent"]


class ClipBatch(NamedTuple):
    """Clips with what they show."""

    latents: Tensor
    """`[B, C, F, h, w]`."""
    captions: Captions


class Source(Protocol):
    """Where a stage gets its batches from."""

    @property
    def names(self) -> tuple[str, ...]:
        """Shards in use."""
        ...

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`(C, h, w)` of a latent frame."""
        ...

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Read other shards from now on; None means all that are there."""
        ...

    def draw(self, stage: Stage, step: int, purpose: str) -> ClipBatch:
        """The batch of a step; `purpose` keeps student and critic apart."""
        ...

    def held_out(self, frames: int, most: int) -> ClipBatch | None:
        """Clips set aside; None where there are none."""
        ...


class Clips:
    """Clips of a latent set, on the CPU; captions are never dropped."""

    def __init__(self, config: DistilConfig, folder: Path) -> None:
        """Raises UserError when the folder holds no clips, or has set none aside that can be used."""
        self.folder, self.seed = folder, config.seed
        self.crops, self.block = config.crops.weights, config.student.block
        self.text = config.text.model_copy(update={"dropout": 0.0})
        self.data = LatentSet(folder, seed=config.seed)
        self.aside = _shots_aside(folder)

    @property
    def names(self) -> tuple[str, ...]:
        """Shards in use."""
        return self.data.names

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`(C, h, w)` of a latent frame."""
        channels, _, height, width = self.data.latent_shape
        return channels, height, width

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Read other shards from now on; None means all that are there."""
        fresh = LatentSet(self.folder, names, seed=self.seed)
        if fresh.names != self.data.names:
            self.data = fresh

    def draw(self, stage: Stage, step: int, purpose: str) -> ClipBatch:
        """The batch of a step; `purpose` keeps student and critic apart."""
        self.data.check_length(stage.frames)
        rng = numbers(self.seed, f"distil {purpose}", step)
        crops = draw_crops(rng, stage.batch_size, self.crops, stage.frames, self.block)
        place = int(numbers(self.seed, purpose, step).integers(2**62))
        batch = self.data.batch(place, [crop == "sink" for crop in crops], stage.levels)
        stored = batch.latents.shape[2]
        index = crop_frames(rng, crops, batch.records, stored, stage.frames, self.block)
        return self._of(batch, index, rng)

    def held_out(self, frames: int, most: int) -> ClipBatch | None:
        """Clips set aside, spread evenly over those without a jump in time; None where the set has none."""
        if not self.aside:
            return None
        stored = LatentSet(self.folder, [VALIDATION], seed=self.seed)
        count = min(len(self.aside), most)
        batch = stored.take([(0, self.aside[i * len(self.aside) // count]) for i in range(count)])
        frames = min(frames, batch.latents.shape[2])
        index = np.tile(np.arange(frames), (len(batch.records), 1))
        return self._of(batch, index, numbers(self.seed, "validation"))

    def _of(self, batch: Batch, index: np.ndarray, rng: np.random.Generator) -> ClipBatch:
        captions = caption_frames(
            rng, batch.records, index, np.zeros(index.shape, dtype=bool), self.block, self.text
        )
        row = torch.arange(len(index))[:, None]
        latents = batch.latents[row, :, torch.from_numpy(index)].transpose(1, 2).contiguous()
        return ClipBatch(latents, captions)


def _shots_aside(folder: Path) -> list[int]:
    """Which of the clips set aside have no jump in time, as those that stages are trained on; none where none are."""
    if not (folder / f"{VALIDATION}.json").exists():
        return []
    [shard] = LatentSet(folder, [VALIDATION]).shards
    shots = [place for place, record in enumerate(shard.records) if not record.jump]
    if not shots:
        raise UserError(
            f"all clips that {folder} has set aside ({VALIDATION}) jump in time, which training never shows; make the "
            f"set anew with more of them or a smaller jump_share, or delete {VALIDATION}.json to do without"
        )
    return shots


def silent(captions: Captions) -> Captions:
    """The empty caption in all frames of a batch."""
    return Captions(texts=(("",),) * len(captions.texts), segment=np.zeros_like(captions.segment))


def first_captions(captions: Captions) -> Captions:
    """For each sample the caption of its first frame in all frames."""
    texts = tuple((texts[int(row[0])],) for texts, row in zip(captions.texts, captions.segment, strict=True))
    return replace(captions, texts=texts, segment=np.zeros_like(captions.segment))
