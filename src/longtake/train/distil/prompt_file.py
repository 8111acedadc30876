"""Prompts without clips, one a line of a text file: all that the stages on the student's own rollouts need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from longtake.errors import UserError
from longtake.models.codec import Codec
from longtake.train.config import Stage
from longtake.train.counters import numbers
from longtake.train.crops import Captions
from longtake.train.distil.clips import ClipBatch
from longtake.train.distil.config import DistilConfig

__all__ = ["PromptFile"]


class PromptFile:
    """Stands in for `Clips`: batches have captions and empty latents."""

    def __init__(self, config: DistilConfig, path: Path, codec: Codec) -> None:
        """codec: whose latents the student makes. Raises UserError when the file holds no prompt."""
        self.path, self.seed = path, config.seed
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        self.prompts = [line for line in lines if line]
        if not self.prompts:
            raise UserError(f"{path} holds no prompt; write one a line")
        stride = codec.spatial_stride
        height, width = config.native.height // stride, config.native.width // stride
        self.latent_shape = codec.latent_channels, height, width

    @property
    def names(self) -> tuple[str, ...]:
        """The file."""
        return (self.path.name,)

    def use_shards(self, names: Sequence[str] | None) -> None:
        """The file is read once."""

    def draw(self, stage: Stage, step: int, purpose: str) -> ClipBatch:
        """Captions of a step."""
        rng = numbers(self.seed, f"prompts {purpose}", step)
        chosen = rng.integers(len(self.prompts), size=stage.batch_size)
        captions = Captions(
            texts=tuple((self.prompts[int(i)],) for i in chosen),
            segment=np.zeros((stage.batch_size, stage.frames), dtype=np.int64),
        )
        return ClipBatch(torch.zeros(stage.batch_size, 0), captions)

    def held_out(self, frames: int, most: int) -> None:
        """There are no clips to hold out."""
