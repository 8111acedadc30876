"""Noise from a counter: the same on every CPU, in any order, and shared wherever frames overlap.

`noise(seed, purpose, latent frame, step)` is a pure function, drawn with numpy's Philox generator (Salmon et al.,
SC 2011): the key is the seed, the counter holds purpose, frame and step. Nothing else in the library draws noise for
generation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from longtake.errors import UserError

MAX_SEED = 2**63 - 1


class Purpose(IntEnum):
    """What a draw is for; part of the counter, so that no two uses share numbers. Values are fixed for ever."""

    INITIAL = 0
    RENOISE = 1
    VARIANCE = 2
    CONTEXT = 3
    ENHANCE = 4
    TRAINING = 5
    BLEND = 6


def check_seed(seed: int) -> int:
    """The seed itself, or UserError when it is not in 0 … 2⁶³ − 1."""
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed {seed} is out of range; use 0 to {MAX_SEED}")
    return seed


def generator(seed: int, purpose: Purpose, frame: int, step: int) -> np.random.Generator:
    """A fresh generator for one (seed, purpose, latent frame, step)."""
    # The lowest counter word is left to the stream itself, so that streams cannot run into each other.
    return np.random.Generator(np.random.Philox(key=[seed, 0], counter=[0, step, frame, int(purpose)]))


def draw(seed: int, purpose: Purpose, frame: int, step: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 of `shape` for one latent frame."""
    values = generator(seed, purpose, frame, step).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(values)


class NoiseSource(Protocol):
    """Where a sampler gets its noise; inject prepared noise for parity tests."""

    def __call__(
        self, purpose: Purpose, frames: Sequence[int], step: int, shape: tuple[int, int, int]
    ) -> Tensor:
        """`[1, C, T, H, W]` for the latent frames `frames`, each of `shape` `(C, H, W)`."""
        ...


class Draw(NamedTuple):
    """What a noise source is asked for."""

    purpose: Purpose
    frames: Sequence[int]
    step: int


def together(noise: NoiseSource, draws: Sequence[Draw], shape: tuple[int, int, int]) -> list[Tensor]:
    """The noise of several draws, each as `NoiseSource` gives it; where it has to be moved, in one piece."""
    source = noise.source if isinstance(noise, MovedNoise) else noise
    drawn = [source(draw.purpose, draw.frames, draw.step, shape) for draw in draws]
    if not isinstance(noise, MovedNoise) or not drawn:
        return drawn
    return list(torch.cat(drawn, 2).to(noise.device).split([each.shape[2] for each in drawn], 2))


@dataclass(frozen=True, slots=True)
class MovedNoise:
    """Noise drawn on the CPU, so that it is the same on every machine, and brought to where the model computes."""

    source: NoiseSource
    device: torch.device

    def __call__(
        self, purpose: Purpose, frames: Sequence[int], step: int, shape: tuple[int, int, int]
    ) -> Tensor:
        return self.source(purpose, frames, step, shape).to(self.device)


@dataclass(frozen=True, slots=True)
class CounterNoise:
    """The noise of a take with this seed."""

    seed: int

    def __call__(
        self, purpose: Purpose, frames: Sequence[int], step: int, shape: tuple[int, int, int]
    ) -> Tensor:
        def one(frame: int) -> Tensor:
            return draw(self.seed, purpose, frame, step, shape)

        each = _workers().map(one, frames) if math.prod(shape) >= _WORTH_A_THREAD else map(one, frames)
        return torch.stack(list(each), dim=1)[None]


_WORTH_A_THREAD = 2**15
"""Numbers a frame from which the frames are drawn side by side; what comes out is the same."""


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="noise")


@dataclass(frozen=True, slots=True)
class PreparedNoise:
    """Initial noise given by the caller (`latents` in diffusers' calls); every other purpose is counted."""

    initial: Tensor
    """`[1, C, T, H, W]`, frame t is the noise of latent frame t."""
    rest: CounterNoise

    def __call__(
        self, purpose: Purpose, frames: Sequence[int], step: int, shape: tuple[int, int, int]
    ) -> Tensor:
        if purpose is not Purpose.INITIAL:
            return self.rest(purpose, frames, step, shape)
        given = (self.initial.shape[1], *self.initial.shape[3:])
        if given != shape or frames[-1] >= self.initial.shape[2]:
            raise UserError(
                f"latents have shape {tuple(self.initial.shape)}; this video needs (1, {shape[0]}, "
                f"{frames[-1] + 1} or more, {shape[1]}, {shape[2]})"
            )
        return self.initial[:, :, list(frames)].float()
