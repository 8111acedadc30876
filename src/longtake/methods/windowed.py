"""The whole length at once in windows of a clip's length that overlap: two training-free baselines.

Gen-L-Video (arXiv 2305.18264): at every step each window is denoised by itself, and where windows overlap their
predictions are averaged. FreeNoise (arXiv 2310.15169): the frames go through the network together, self-attention works
in windows whose outputs are averaged with weights that fall towards a window's edges, and frames after the first clip
start from shuffled copies of its noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from longtake.memory.nothing import Nothing
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.methods.network import brought, predictor
from longtake.models.attention import Grid, attend, rotary, rotate
from longtake.models.rollouts import Windows
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling import OnStep, Sampler
from longtake.sampling.guidance import Predict, guided
from longtake.sampling.noise import NoiseSource, Purpose


def windows(count: int, length: int, stride: int) -> list[range]:
    """Windows over `count` frames; the last is moved back so that it ends with them."""
    if count <= length:
        return [range(count)]
    starts = [*range(0, count - length, stride), count - length]
    return [range(start, start + length) for start in starts]


def pyramid(length: int) -> Tensor:
    """`[length]`: 1, 2, 3, … 3, 2, 1."""
    rising = torch.arange(1, length + 1)
    return torch.minimum(rising, rising.flip(0)).float()


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedWindows:
    """An `AttentionRule`: attention inside each window, averaged by weight where windows overlap."""

    grid: Grid
    windows: tuple[range, ...]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.unflatten(1, (-1, self.grid.tokens)) for x in (q, k, v))
        total, weight = torch.zeros_like(v), v.new_zeros(v.shape[1])
        for window in self.windows:
            own = slice(window.start, window.stop)
            angles = rotary(tuple(range(len(window))), self.grid, q.shape[-1], q.device)
            own_q, own_k = (rotate(x[:, own].flatten(1, 2), angles) for x in (q, k))
            seen = attend(own_q, own_k, v[:, own].flatten(1, 2)).unflatten(1, (-1, self.grid.tokens))
            share = pyramid(len(window)).to(v)
            total[:, own] += share[:, None, None, None] * seen
            weight[own] += share
        return (total / weight[:, None, None, None]).flatten(1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShuffledNoise:
    """Initial noise of which only the first clip is drawn; later frames repeat it, shuffled in short runs."""

    noise: NoiseSource
    length: int
    """Frames of a clip."""
    stride: int
    """Frames that are shuffled among themselves."""

    def __call__(
        self, purpose: Purpose, frames: Sequence[int], step: int, shape: tuple[int, int, int]
    ) -> Tensor:
        if purpose is not Purpose.INITIAL:
            return self.noise(purpose, frames, step, shape)
        return self.noise(purpose, [self.origin(frame) for frame in frames], step, shape)

    def origin(self, frame: int) -> int:
        """The frame of the first clip whose noise this one gets."""
        while frame >= self.length:
            run, place = divmod(frame - self.length, self.stride)
            order = np.random.Generator(np.random.Philox(key=run)).permutation(self.stride)
            frame = run * self.stride + int(order[place])
        return frame


@dataclass(frozen=True, kw_only=True)
class Windowed:
    """See the module's text."""

    backbone: WanTransformer
    sampler: Sampler
    frames: int
    """Latent frames of a window: what the network was trained on."""
    spec: Windows
    guidance_scale: float = 1.0

    @property
    def kind(self) -> Kind:
        """See `Method.kind`."""
        return Kind.JOINT

    @property
    def limit(self) -> int | None:
        """See `Method.limit`."""
        return self.spec.limit

    def start(self, latent_shape: tuple[int, int, int]) -> MethodState:
        """See `Method.start`."""
        return MethodState(latent_shape=latent_shape, memory=Nothing())

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        everything = range(self.spec.limit if total is None else total)
        return Plan(denoise=everything, final=everything)

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`."""
        parts = windows(len(plan.denoise), self.frames, self.spec.stride)
        if self.spec.fuse == "attention":
            grid = self.backbone.config.grid(*state.latent_shape[1:])
            predict = predictor(self.backbone, FusedWindows(grid=grid, windows=tuple(parts)))
        else:
            predict = _averaged(predictor(self.backbone), parts)
        if self.spec.shuffled_noise:
            noise = ShuffledNoise(noise=noise, length=self.frames, stride=self.spec.stride)
        noise, given = brought(self.backbone, noise, conditions.given)
        velocity = guided(predict, conditions.text, conditions.null_text, self.guidance_scale)
        return self.sampler.advance(velocity, noise, plan.denoise, state.latent_shape, on_step, given)


def _averaged(predict: Predict, parts: Sequence[range]) -> Predict:
    """The mean of the predictions of all windows that a frame is in."""

    def over_windows(latents: Tensor, timestep: Tensor, text: TextContext) -> Tensor:
        total = torch.zeros_like(latents)
        count = latents.new_zeros(latents.shape[2])
        for window in parts:
            own = slice(window.start, window.stop)
            total[:, :, own] += predict(latents[:, :, own], timestep[:, own], text)
            count[own] += 1
        return total / count[:, None, None]

    return over_windows
