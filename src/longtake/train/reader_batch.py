"""Batches for the reader: true windows, slightly spoilt ones that must still be read, and faulty ones that
must not.

Shapes: B windows, T frames, K colours, N solids of all windows together, g cells of the colour maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from longtake.train.reader_set import Shards
from longtake.world.corrupt import KINDS, blur, cross_fade, erase, melt, noise, soften
from longtake.world.labels import OPEN
from longtake.world.reader_config import ReaderConfig

__all__ = ["ReaderBatch", "Sample", "colour_shares", "draw_batch", "draw_sample"]


MELTED = "melted"
FAULTS = (*KINDS, MELTED)
"""Kinds of faulty windows."""
EVEN = dict.fromkeys(FAULTS, 1.0)
"""All kinds alike in number."""


@dataclass(kw_only=True, slots=True)
class Sample:
    """One window as the reader gets it."""

    frames: np.ndarray
    """uint8 [T, H, W, 3]."""
    masks: np.ndarray
    """uint8 [T, H, W]; colour index + 1, 0 for none."""
    answers: dict[str, np.ndarray]
    """Labels by name: [K] for solids, scalars for ground and camera; OPEN where not asked."""
    legible: int
    """1, 0, or OPEN when only a solid is at fault."""
    whole: np.ndarray
    """[K]: 1 where a solid is whole and clear, 0 where it must not be read, OPEN where there is none."""
    mapped: bool
    """Whether the colour maps can be learned from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReaderBatch:
    """Windows with everything that the losses need."""

    frames: Tensor
    """float [B, T, 3, H, W] in -1..1."""
    shares: Tensor
    """float [B, T, K + 1, g, g]: share of each cell that a colour covers; the last is none."""
    mapped: Tensor
    """bool [B]."""
    legible: Tensor
    """long [B]."""
    ground: Tensor
    """long [B]."""
    camera: Tensor
    """long [B]."""
    present: Tensor
    """long [B, K]."""
    clip: Tensor
    """long [N]: window of each solid."""
    colour: Tensor
    """long [N]: colour of each solid."""
    whole: Tensor
    """long [N]."""
    answers: dict[str, Tensor]
    """long [N] by attribute."""


def colour_shares(masks: Tensor, colours: int, grid: int) -> Tensor:
    """uint8 [B, T, H, W] to float [B, T, K + 1, grid, grid]; the last channel is the share of no solid."""
    one = torch.arange(1, colours + 1, dtype=torch.uint8)[None, None, :, None, None]
    covers = (masks[:, :, None, ::2, ::2] == one).float()
    shares = F.adaptive_avg_pool2d(covers.flatten(0, 1), grid).unflatten(0, masks.shape[:2])
    return torch.cat([shares, 1.0 - shares.sum(2, keepdim=True)], 2)


def _as_is(shards: Shards, clip: int) -> Sample:
    answers = {name: np.array(values[clip]).astype(np.int64) for name, values in shards.labels.items()}
    whole = np.where(answers["present"] == 1, 1, OPEN)
    frames, masks = shards.get("frames", clip), shards.get("masks", clip)
    return Sample(frames=frames, masks=masks, answers=answers, legible=1, whole=whole, mapped=True)


def _silence(sample: Sample, solids_only: bool) -> None:
    """Ask nothing of a faulty window but that it is refused."""
    sample.whole = np.where(sample.whole == 1, 0, OPEN)
    keep = ("present", "ground", "camera") if solids_only else ()
    for name, values in sample.answers.items():
        if name not in keep:
            sample.answers[name] = np.full_like(values, OPEN)


def _faulty(shards: Shards, clip: int, kind: str, rng: Generator) -> Sample:
    if kind == "erased":
        return _without_one(shards, int(rng.choice(shards.having("plates"))), kind, rng)
    if kind == MELTED:
        return _without_one(shards, clip, kind, rng)
    sample = _as_is(shards, clip)
    sample.legible, sample.mapped = 0, False
    if kind == "cross_fade":
        other = shards.get("frames", int(rng.integers(len(shards))))
        sample.frames = cross_fade(sample.frames, other, rng)
    else:
        sample.frames = (noise if kind == "noise" else blur)(sample.frames, rng)
    _silence(sample, solids_only=False)
    return sample


def _without_one(shards: Shards, clip: int, kind: str, rng: Generator) -> Sample:
    """A window in which one solid is half erased, or melted."""
    sample = _as_is(shards, clip)
    there = np.flatnonzero(sample.answers["present"] == 1)
    if not len(there):
        return sample
    colour = int(rng.choice(there))
    mask = sample.masks == colour + 1
    if kind == MELTED:
        sample.frames = melt(sample.frames, mask, rng)
    else:
        sample.frames = erase(sample.frames, mask, shards.get("plates", clip), rng)
    for name, _ in ReaderConfig().answers:
        sample.answers[name][colour] = OPEN
    sample.answers["present"][colour] = OPEN
    sample.whole[colour] = 0
    sample.legible = 0 if len(there) == 1 and kind == "erased" else OPEN
    sample.mapped = False
    return sample


def _turned(sample: Sample, rng: Generator) -> None:
    """Mirror left and right, or run backwards: neither changes an answer."""
    if rng.random() < 0.5:
        sample.frames, sample.masks = sample.frames[:, :, ::-1], sample.masks[:, :, ::-1]
    if rng.random() < 0.5:
        sample.frames, sample.masks = sample.frames[::-1], sample.masks[::-1]


def draw_sample(shards: Shards, kind: str, rng: Generator, coded: bool) -> Sample:
    """One window: `true`, or one of FAULTS; `coded` asks for one that has been through the codec."""
    if coded and kind == "true":
        clip = int(rng.choice(shards.having("coded")))
        sample = _as_is(shards, clip)
        sample.frames = shards.get("coded", clip)
    else:
        clip = int(rng.integers(len(shards)))
        sample = _as_is(shards, clip) if kind == "true" else _faulty(shards, clip, kind, rng)
    if rng.random() < 0.5 and kind != "noise":
        sample.frames = soften(sample.frames, rng)
    _turned(sample, rng)
    return sample


def draw_batch(
    shards: Shards,
    config: ReaderConfig,
    rng: Generator,
    *,
    size: int,
    faulty_share: float,
    faults: Mapping[str, float] = EVEN,
    coded_share: float = 0.0,
) -> ReaderBatch:
    """A batch of `size` windows: a share of them faulty, their kinds by weight; a share of the others coded."""
    coded_share = coded_share if len(shards.having("coded")) else 0.0
    names = sorted(faults)
    weights = np.array([faults[name] for name in names])
    weights /= weights.sum()
    kinds = [
        str(rng.choice(names, p=weights)) if rng.random() < faulty_share else "true" for _ in range(size)
    ]
    samples = [draw_sample(shards, kind, rng, bool(rng.random() < coded_share)) for kind in kinds]
    return collate(samples, config)


def collate(samples: list[Sample], config: ReaderConfig) -> ReaderBatch:
    """Samples as one batch."""
    frames = torch.from_numpy(np.stack([sample.frames for sample in samples]))
    masks = torch.from_numpy(np.stack([sample.masks for sample in samples]))
    whole = torch.from_numpy(np.stack([sample.whole for sample in samples]))
    clip, colour = torch.nonzero(whole != OPEN, as_tuple=True)
    asked = {
        name: torch.from_numpy(np.stack([s.answers[name] for s in samples])) for name in samples[0].answers
    }
    return ReaderBatch(
        frames=frames.permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0,
        shares=colour_shares(masks, len(config.colours), config.grid),
        mapped=torch.tensor([sample.mapped for sample in samples]),
        legible=torch.tensor([sample.legible for sample in samples]),
        ground=asked["ground"],
        camera=asked["camera"],
        present=asked["present"],
        clip=clip,
        colour=colour,
        whole=whole[clip, colour],
        answers={name: asked[name][clip, colour] for name, _ in config.answers},
    )
