"""What a memory learns from: a clip somewhere in a stored one, the frames before it, an anchor, a caption.

The frames before are the clip's own first ones, clean: in use it shows them again. The anchor is the first frame of the
stored clip, the one that is an image by itself; where that is a jump, it is from long before.

Shapes: B samples, C channels, T latent frames of the clip, P of them shown again, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.train.counters import numbers
from longtake.train.crops import draw_caption
from longtake.train.memories.config import MemoryRecipe
from longtake.train.store import Batch, ClipRecord, LatentSet


class Dropped(NamedTuple):
    """Which samples lack a condition, bool `[B]`."""

    text: np.ndarray
    anchor: np.ndarray


class _Disturbed(NamedTuple):
    """How the frames before are disturbed: σ of light noise, σ from which they are made again, `[B]` each."""

    light: np.ndarray
    own: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A batch before noise is added."""

    clean: Tensor
    """`[B, C, T, h, w]`."""
    past: Tensor
    """`[B, C, P, h, w]`, clean; what is remembered before noise is added to some of it."""
    light: np.ndarray
    """`[B]`, σ of that noise."""
    earlier: Tensor
    """`[B, C, T, h, w]`: the clip that the frames before are the end of, in a take; any other where `own` is 0."""
    own: np.ndarray
    """`[B]`, σ from which the frames before are made again; 0 where they are the stored ones."""
    anchor: Tensor
    """`[B, C, h, w]`."""
    texts: list[str]
    """The caption of each; empty where it is dropped."""
    dropped: Dropped


def draw(
    recipe: MemoryRecipe, data: LatentSet, step: int, count: int, levels: dict[int, float], shown: int
) -> Sample:
    """The batch of a step, a function of the recipe's seed and the step. Raises UserError for clips too short.

    shown: latent frames of a clip that are remembered and shown again, P.
    """
    rng = numbers(recipe.seed, "memories", step)
    jumps = (rng.random(count) < recipe.jump_share) & (recipe.kind == "apm")
    batch = data.batch(step, jumps.tolist(), levels)
    light = np.where(rng.random(count) < recipe.light_share, recipe.light_sigma * rng.random(count), 0.0)
    own = np.where(rng.random(count) < recipe.own.share, rng.uniform(*recipe.own.sigmas, count), 0.0)
    return _cut(recipe, batch, rng, _Disturbed(light, own), drop(rng, recipe, count), shown)


def held_out(recipe: MemoryRecipe, data: LatentSet, count: int, shown: int) -> Sample:
    """Clips set aside, always the same, with every condition and nothing noised."""
    batch = data.spread(min(count, len(data)))
    number = len(batch.records)
    nothing = Dropped(np.zeros(number, bool), np.zeros(number, bool))
    rng = numbers(recipe.seed, "memories held out")
    return _cut(recipe, batch, rng, _Disturbed(np.zeros(number), np.zeros(number)), nothing, shown)


def drop(rng: np.random.Generator, recipe: MemoryRecipe, count: int) -> Dropped:
    """Draw which conditions are left out; without a long-term memory `both` counts for the text."""
    shares, u = recipe.dropout, rng.random(count)
    text = u < shares.text + shares.both
    anchor = (u >= shares.text) & (u < shares.text + shares.both + shares.anchor)
    return Dropped(text, anchor)


def _cut(
    recipe: MemoryRecipe,
    batch: Batch,
    rng: np.random.Generator,
    disturbed: _Disturbed,
    dropped: Dropped,
    shown: int,
) -> Sample:
    frames = recipe.clip
    lowest = _lowest(recipe, batch.records, batch.latents.shape[2])
    first = [int(rng.integers(low, batch.latents.shape[2] - frames + 1)) for low in lowest]
    begin = [start - (frames - shown) for start in first]
    known = np.array([earlier >= low for earlier, low in zip(begin, lowest, strict=True)])
    clean = torch.stack([clip[:, s : s + frames] for clip, s in zip(batch.latents, first, strict=True)])
    earlier = [max(0, start) for start in begin]
    texts = [
        "" if silent else draw_caption(rng, record, start + shown)
        for record, start, silent in zip(batch.records, first, dropped.text, strict=True)
    ]
    return Sample(
        clean=clean,
        past=clean[:, :, :shown],
        light=disturbed.light,
        earlier=torch.stack(
            [clip[:, s : s + frames] for clip, s in zip(batch.latents, earlier, strict=True)]
        ),
        own=np.where(known, disturbed.own, 0.0),
        anchor=batch.latents[:, :, 0],
        texts=texts,
        dropped=dropped,
    )


def _lowest(recipe: MemoryRecipe, records: Sequence[ClipRecord], stored: int) -> list[int]:
    """Where each clip may begin at the earliest: behind the image, and behind the first part of a clip that jumps."""
    lowest = [recipe.block if record.jump else 1 for record in records]
    if stored - recipe.clip < max(lowest):
        raise UserError(
            f"clips of {stored} latent frames are too short for a memory of clips of {recipe.clip}; "
            f"make the set with {max(lowest) + recipe.clip} or more"
        )
    return lowest
