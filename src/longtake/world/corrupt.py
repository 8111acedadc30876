"""Clips that nobody should be able to read: what teaches the reader to abstain, and what its gate is measured
on.

Frames are uint8 [T, H, W, 3]; masks are bool [T, H, W]; all draws come from the generator that is given.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator

__all__ = ["KINDS", "blur", "cross_fade", "erase", "melt", "noise", "soften"]

KINDS = ("noise", "blur", "cross_fade", "erased")
"""The four faults by name."""


def noise(frames: np.ndarray, rng: Generator) -> np.ndarray:
    """Noise in grains of 1 to 12 pixels, still or changing: alone, or 70 % and more of the frames."""
    time, height, width = frames.shape[:3]
    grain = int(rng.choice([1, 1, 2, 4, 8, 12]))
    drawn = 1 if rng.random() < 0.3 else time
    cells = rng.normal(128.0, rng.uniform(30.0, 75.0), (drawn, -(-height // grain), -(-width // grain), 3))
    if rng.random() < 0.3:
        cells[...] = cells.mean(-1, keepdims=True)
    field = cells.repeat(grain, 1).repeat(grain, 2)[:, :height, :width]
    share = 1.0 if rng.random() < 0.5 else rng.uniform(0.7, 1.0)
    return _levels(share * field + (1.0 - share) * frames.astype(np.float32))


def gaussian(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Frames blurred in space by a Gaussian of `sigma` pixels."""
    reach = max(1, int(3.0 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    pixels = torch.from_numpy(frames.astype(np.float32)).permute(0, 3, 1, 2)
    planes = pixels.flatten(0, 1).unsqueeze(1)
    planes = F.conv2d(F.pad(planes, (reach, reach, 0, 0), mode="replicate"), taps[None, None, None])
    planes = F.conv2d(F.pad(planes, (0, 0, reach, reach), mode="replicate"), taps[None, None, :, None])
    return _levels(planes.squeeze(1).unflatten(0, pixels.shape[:2]).permute(0, 2, 3, 1).numpy())


def blur(frames: np.ndarray, rng: Generator) -> np.ndarray:
    """Heavy blur: a Gaussian of 4 to 9 hundredths of the frame's height."""
    return gaussian(frames, float(rng.uniform(0.04, 0.09)) * frames.shape[1])


def cross_fade(first: np.ndarray, second: np.ndarray, rng: Generator) -> np.ndarray:
    """Two scenes at once: a still double exposure, or a dissolve over the whole clip."""
    time = len(first)
    start = rng.uniform(0.35, 0.65)
    end = start if rng.random() < 0.5 else 1.0 - rng.uniform(0.05, 0.3)
    if end != start:
        start = 1.0 - end
    share = np.linspace(start, end, time, dtype=np.float32)[:, None, None, None]
    return _levels(share * first + (1.0 - share) * second)


def _middle(mask: np.ndarray) -> np.ndarray:
    """Middle (x, y) of a mask in each frame, [T, 2]; frames without it take over the mean of the others."""
    weight = mask.sum((1, 2)).astype(np.float64)
    ys = (mask * np.arange(mask.shape[1])[:, None]).sum((1, 2))
    xs = (mask * np.arange(mask.shape[2])).sum((1, 2))
    middles = np.stack([xs, ys], 1) / np.maximum(weight, 1.0)[:, None]
    seen = weight > 0
    middles[~seen] = middles[seen].mean(0) if seen.any() else 0.0
    return middles


def _grown(mask: np.ndarray, steps: int = 2) -> np.ndarray:
    wide = torch.from_numpy(mask).float().unsqueeze(1)
    return F.max_pool2d(wide, 2 * steps + 1, 1, steps).squeeze(1).numpy() > 0.5


def _cut(mask: np.ndarray, rng: Generator) -> np.ndarray:
    """Half of the solid, on one side of a line near its middle or under a few patches, which follow it."""
    ys, xs = np.mgrid[: mask.shape[1], : mask.shape[2]]
    middle = _middle(mask)
    dx = xs[None] - middle[:, 0, None, None]
    dy = ys[None] - middle[:, 1, None, None]
    side = max(3.0, float(np.sqrt(mask.sum((1, 2)).max())))
    if rng.random() < 0.6:
        angle, shift = rng.uniform(0, 2 * np.pi), rng.uniform(-0.06, 0.06) * side
        return np.cos(angle) * dx + np.sin(angle) * dy > shift
    gone = np.zeros(mask.shape, bool)
    for _ in range(8):
        x, y = rng.uniform(-0.5, 0.5, 2) * side
        half = rng.uniform(0.15, 0.3) * side
        gone |= (np.abs(dx - x) < half) & (np.abs(dy - y) < half)
        if (gone & mask).sum() > 0.42 * mask.sum():
            break
    return gone


def erase(frames: np.ndarray, mask: np.ndarray, plate: np.ndarray, rng: Generator) -> np.ndarray:
    """Take away about half of a solid, showing the scene without it (`plate`), or one flat tone, in its
    place."""
    gone = _cut(mask, rng) & _grown(mask)
    if rng.random() < 0.75:
        return np.where(gone[..., None], plate, frames)
    return np.where(gone[..., None], rng.integers(0, 256, 3, dtype=np.uint8), frames)


def melt(frames: np.ndarray, mask: np.ndarray, rng: Generator) -> np.ndarray:
    """Push a solid's pixels about until its shape is lost, in grains of an eighth of the picture.

    It is what a generator makes that knows colours but no shapes yet.
    """
    time, height, width = mask.shape
    side = max(4.0, float(np.sqrt(mask.sum((1, 2)).max())))
    drawn = time if rng.random() < 0.6 else 1
    push = rng.standard_normal((drawn, 2, 8, 8), dtype=np.float32)
    push *= np.float32(rng.uniform(0.15, 0.45) * side * 2.0 / max(height, width))
    field = F.interpolate(torch.from_numpy(push), (height, width), mode="bicubic", align_corners=False)
    still = F.affine_grid(torch.eye(2, 3).expand(time, 2, 3), [time, 1, height, width], align_corners=False)
    pixels = torch.from_numpy(frames.astype(np.float32)).permute(0, 3, 1, 2)
    where = still + field.permute(0, 2, 3, 1)
    moved = F.grid_sample(pixels, where, padding_mode="border", align_corners=False)
    near = _grown(mask, max(2, round(0.3 * side)))[..., None]
    return np.where(near, _levels(moved.permute(0, 2, 3, 1).numpy()), frames)


def soften(frames: np.ndarray, rng: Generator) -> np.ndarray:
    """Faults so slight that the clip must still be read: a little blur, grain, gain and offset."""
    if rng.random() < 0.5:
        frames = gaussian(frames, float(rng.uniform(0.3, 1.1)) * frames.shape[1] / 96)
    gain = np.float32(rng.uniform(0.92, 1.08))
    shift = rng.uniform(-8.0, 8.0, 3).astype(np.float32)
    grain = np.float32(rng.uniform(0.0, 6.0)) * rng.standard_normal(frames.shape, dtype=np.float32)
    return _levels((frames.astype(np.float32) - 128.0) * gain + 128.0 + shift + grain)


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
