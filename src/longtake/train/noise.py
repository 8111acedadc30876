"""Noise levels of a training sample: one σ a latent frame, and which frames count in the loss.

Five modes, mixed so that one set of weights can do all that streaming asks of it:

- `shared`: one σ for all frames (the teacher's setting, and a first block).
- `blocks`: each block its own σ (diffusion forcing, arXiv 2407.01392; diagonal and rolling windows).
- `prefix`: the first frames, one or more, are context; the rest share one σ (image to video, overlap).
- `prefix_block`: the first blocks are context, the next has σ, later blocks their own (a streaming step).
- `teacher`: each block its own σ *and* clean copies of the past as context (teacher forcing); the caller
  doubles the frames. Every block of the sample is then one exact streaming step.

Context is clean (σ = 0) or, in a share of samples, lightly noised; the timestep always says which.
Shapes: B samples, F latent frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from longtake.train.config import NoiseConfig

__all__ = ["NoisePlan", "draw_modes", "draw_noise", "draw_sigma"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoisePlan:
    """σ and loss weight of every frame."""

    sigma: np.ndarray
    """`[B, F]` float64 in 0..1."""
    counts: np.ndarray
    """`[B, F]` bool, False for context."""
    context_sigma: np.ndarray
    """`[B]`, σ of the context frames (in `teacher`: of the clean copies)."""


def draw_sigma(rng: np.random.Generator, count: int, config: NoiseConfig) -> np.ndarray:
    """`count` shifted noise levels, stratified: one from each of `count` equal shares of the distribution."""
    u = (rng.permutation(count) + rng.random(count)) / count
    if config.sigma == "logit_normal":
        u = 1 / (1 + np.exp(-_normal_quantile(u)))
    return config.shift * u / (1 + (config.shift - 1) * u)


def draw_modes(rng: np.random.Generator, count: int, weights: Mapping[str, float], frames: int) -> list[str]:
    """One mode a sample; `teacher` is taken by the whole batch or by none. Single frames are always `shared`."""
    if frames == 1:
        return ["shared"] * count
    names = sorted(weights)
    share = np.array([weights[name] for name in names], dtype=np.float64)
    share /= share.sum()
    if rng.random() < dict(zip(names, share, strict=True)).get("teacher", 0.0):
        return ["teacher"] * count
    share = np.where(np.array(names) == "teacher", 0.0, share)
    if not share.any():
        return ["teacher"] * count
    return [str(name) for name in rng.choice(names, size=count, p=share / share.sum())]


def draw_noise(
    rng: np.random.Generator, modes: list[str], frames: int, block: int, config: NoiseConfig
) -> NoisePlan:
    """σ for samples of `frames` latent frames in blocks of `block` (the last may be shorter)."""
    count, blocks = len(modes), -(-frames // block)
    block_of = np.arange(frames) // block
    shared = draw_sigma(rng, count, config)
    own = np.stack([draw_sigma(rng, count, config) for _ in range(blocks)], axis=1)[:, block_of]
    light = np.where(rng.random(count) < config.light_share, rng.random(count) * config.light_sigma, 0.0)
    prefix_frames = 1 + np.floor(rng.random(count) * max(frames - 1, 1)).astype(int)
    prefix_blocks = np.floor(rng.random(count) * max(blocks - 1, 1)).astype(int) + (blocks > 1)
    whole = rng.random(count) < 0.5

    sigma, counts = np.empty((count, frames)), np.ones((count, frames), dtype=bool)
    for i, mode in enumerate(modes):
        if mode == "shared":
            sigma[i] = shared[i]
        elif mode in ("blocks", "teacher"):
            sigma[i] = own[i]
        elif mode == "prefix":
            n = prefix_blocks[i] * block if whole[i] and blocks > 1 else prefix_frames[i]
            sigma[i], counts[i] = shared[i], np.arange(frames) >= n
        else:
            n = prefix_blocks[i] * block
            sigma[i] = np.where(block_of == prefix_blocks[i], shared[i], own[i])
            counts[i] = np.arange(frames) >= n
    sigma = np.where(counts, sigma, light[:, None])
    return NoisePlan(sigma=sigma, counts=counts, context_sigma=light)


def _normal_quantile(u: np.ndarray) -> np.ndarray:
    """Inverse of the standard normal distribution function."""
    from statistics import NormalDist

    return np.vectorize(NormalDist().inv_cdf)(np.clip(u, 1e-9, 1 - 1e-9))
