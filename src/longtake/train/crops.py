"""Temporal crops of stored clips, and the caption each latent frame is given.

Positions in a crop always run 0, 1, 2, … whatever was left out: a rolling window renumbers what it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from longtake.train.config import TextConfig
from longtake.train.store import ClipRecord

__all__ = ["Captions", "caption_frames", "crop_frames", "draw_caption", "draw_crops"]


def draw_crops(
    rng: np.random.Generator, count: int, weights: Mapping[str, float], frames: int, block: int
) -> list[str]:
    """One crop a sample. A clip no longer than a block has no room for a sink; a single frame is an image."""
    if frames == 1:
        return ["start"] * count
    names = sorted(name for name in weights if name != "sink" or frames > block)
    share = np.array([weights[name] for name in names], dtype=np.float64)
    if not share.any():
        return ["start"] * count
    return [str(name) for name in rng.choice(names, size=count, p=share / share.sum())]


def crop_frames(
    rng: np.random.Generator,
    crops: Sequence[str],
    records: Sequence[ClipRecord],
    stored: int,
    frames: int,
    block: int,
) -> np.ndarray:
    """`[B, frames]`: which of the `stored` latent frames each sample gets; see `LatentSet.check_length`."""
    assert frames <= stored, f"crops of {frames} frames of clips of {stored}"
    index = [
        _crop(rng.random(), crop, record, stored, frames, block)
        for crop, record in zip(crops, records, strict=True)
    ]
    return np.array(index)


def _crop(u: float, crop: str, record: ClipRecord, stored: int, frames: int, block: int) -> list[int]:
    first = block if record.jump else 1
    if crop == "start" and (frames <= block or not record.jump):
        return list(range(frames))
    if crop == "sink" and record.jump:
        return list(range(block)) + _stretch(u, block, stored, frames - block)
    if crop == "sink" and stored - frames > 0:
        return list(range(block)) + _stretch(u, block + 1, stored, frames - block)
    return _stretch(u, min(first, stored - frames), stored, frames)


def _stretch(u: float, low: int, stored: int, frames: int) -> list[int]:
    start = low + int(u * (stored - frames - low + 1))
    return list(range(start, start + frames))


def draw_caption(rng: np.random.Generator, record: ClipRecord, frame: int) -> str:
    """A wording of the caption in force at a latent frame of the stored clip."""
    captions = [segment.captions for segment in record.segments if segment.start <= frame][-1]
    return captions[int(rng.integers(len(captions)))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Captions:
    """Captions of a batch and where each is in force."""

    texts: tuple[tuple[str, ...], ...]
    """For each sample its captions, as many for each (S)."""
    segment: np.ndarray
    """`[B, F]`, index of the caption that each latent frame attends to."""


def caption_frames(
    rng: np.random.Generator,
    records: Sequence[ClipRecord],
    index: np.ndarray,
    context: np.ndarray,
    block: int,
    config: TextConfig,
) -> Captions:
    """Captions for the crops `index [B, F]`; `context` bool `[B, F]` marks frames that are not denoised.

    Each sample draws one wording a segment. Dropped samples read the empty caption in the frames they denoise, or in
    all frames.
    """
    texts: list[list[str]] = []
    segments = np.empty(index.shape, dtype=np.int64)
    for i, record in enumerate(records):
        starts = np.array([segment.start for segment in record.segments])
        segment = np.searchsorted(starts, index[i], side="right") - 1
        if rng.random() < config.lead:
            segment = _lead(segment, block)
        texts.append([s.captions[int(rng.integers(len(s.captions)))] for s in record.segments])
        dropped, everywhere = rng.random() < config.dropout, rng.random() < config.dropout_everywhere
        if dropped:
            texts[i].append("")
            silent = np.full(index.shape[1], True) if everywhere else ~context[i]
            segment = np.where(silent, len(texts[i]) - 1, segment)
        texts[i], segments[i] = _used(texts[i], segment)
    most = max(len(captions) for captions in texts)
    padded = tuple(tuple(captions + [captions[0]] * (most - len(captions))) for captions in texts)
    return Captions(texts=padded, segment=segments)


def _lead(segment: np.ndarray, block: int) -> np.ndarray:
    """Give every frame the caption of its block's last frame."""
    last = np.minimum((np.arange(len(segment)) // block + 1) * block, len(segment)) - 1
    return segment[last]


def _used(texts: list[str], segment: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Only the captions that some frame reads, renumbered."""
    used, renumbered = np.unique(segment, return_inverse=True)
    return [texts[i] for i in used], renumbered
