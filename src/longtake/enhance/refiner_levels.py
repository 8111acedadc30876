"""Noise levels of the published refiner (MS-Vid2Vid-XL): between two shifted cosine schedules, linear in log-SNR.

Each is `ln SNR(u) = −2·ln tan(a + u·(b − a)) − 2·ln(scale)` (arXiv 2301.11093), the ends at ±15; the scale is 2 where
u is 0 and 4 where it is 1, and the mean of the two moves from one to the other with u. The levels in use are evenly
spaced from `1000·strength − 1` down, one more than there are steps, of which the last is left out. SNRs between two
entries of the table are interpolated in the logarithm; the network is fed the nearest entry's number.
"""

from __future__ import annotations

import math

from longtake.enhance.levels import CLEAN, Level, check_steps
from longtake.errors import UserError
from longtake.sampling.given import check_strength
from longtake.sampling.schedule import NUM_TRAIN_TIMESTEPS

END = 15.0
"""Log-SNR at the ends, before the shift."""
SCALES = (2.0, 4.0)
"""Shift at the clean end and at the noisy one."""


def refiner_levels(strength: float, steps: int) -> list[Level]:
    """`steps + 1` levels, the last clean."""
    check_strength(strength)
    check_steps(steps)
    first = strength * NUM_TRAIN_TIMESTEPS
    if first < steps + 1:
        raise UserError(
            f"strength {strength:g} leaves {int(first)} timesteps for {steps} steps; use fewer steps"
        )
    return [_level(first - 1 - step * first / (steps + 1)) for step in range(steps)] + [CLEAN]


def _level(time: float) -> Level:
    below = math.floor(time)
    share = time - below
    above = min(below + 1, NUM_TRAIN_TIMESTEPS - 1)
    snr = math.exp((1 - share) * log_snr(below) + share * log_snr(above))
    return Level(float(round(time)), math.sqrt(snr / (1 + snr)), math.sqrt(1 / (1 + snr)))


def log_snr(timestep: int) -> float:
    """ln(α²/σ²) of a training timestep."""
    place = timestep / (NUM_TRAIN_TIMESTEPS - 1)
    low, high = (math.atan(math.exp(-0.5 * end)) for end in (END, -END))
    cosine = -2 * math.log(math.tan(low + place * (high - low)))
    clean, noisy = (cosine - 2 * math.log(scale) for scale in SCALES)
    return place * noisy + (1 - place) * clean
