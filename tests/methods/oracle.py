"""The slow oracle of causal streaming: no cache, no window code, no sampler code; the rules as they are published.

Every denoising step sends the whole past and the block being made through the network. What a block attends to is
written out key by key: which latent frames it is made of, where in time it stands, what is added to its logit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from longtake.models.attention import Grid
from longtake.models.wan import WanTransformer
from longtake.sampling.noise import CounterNoise, Purpose


@dataclass(frozen=True)
class Key:
    """A frame's worth of keys: a weighted sum of entries' keys (and values), all at one temporal index."""

    weights: dict[int, float]
    position: int
    bias: float = 0.0


@dataclass(frozen=True)
class Group:
    """Entries that go through attention together."""

    queries: Sequence[int]
    positions: Sequence[int]
    keys: Sequence[Key]

    @cached_property
    def places(self) -> list[int]:
        return [key.position for key in self.keys]

    @cached_property
    def weights(self) -> Tensor:
        """`[keys, entries]`, as many entries as are needed."""
        weights = torch.zeros(len(self.keys), 1 + max(e for key in self.keys for e in key.weights))
        for row, key in zip(weights, self.keys, strict=True):
            row[list(key.weights)] = torch.tensor(list(key.weights.values()))
        return weights


@dataclass
class Dense:
    """Attention by hand, in float64 rotations and a plain softmax."""

    grid: Grid
    groups: Sequence[Group]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x[0].unflatten(0, (-1, self.grid.tokens)) for x in (q, k, v))
        out = torch.zeros_like(q)
        for group in self.groups:
            needed = group.weights.shape[1]
            keys, values = (torch.tensordot(group.weights, x[:needed], 1) for x in (k, v))
            keys = self._turn(keys, group.places).flatten(0, 1)
            query = self._turn(q[list(group.queries)], group.positions).flatten(0, 1)
            bias = torch.tensor([key.bias for key in group.keys]).repeat_interleave(self.grid.tokens)
            logits = torch.einsum("qhd,khd->hqk", query, keys) / q.shape[-1] ** 0.5 + bias
            seen = torch.einsum("hqk,khd->qhd", logits.softmax(-1), values.flatten(0, 1))
            out[list(group.queries)] = seen.unflatten(0, (-1, self.grid.tokens))
        return out.flatten(0, 1)[None]

    def _turn(self, x: Tensor, positions: Sequence[int]) -> Tensor:
        """Rotate the channel pairs of frames `[T, N, H, D]` that stand at `positions`."""
        cos, sin = turns(tuple(positions), self.grid, x.shape[-1])
        a, b = x.double()[..., 0::2], x.double()[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


@cache
def turns(positions: tuple[int, ...], grid: Grid, dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[T, N, 1, D/2]` of the angles of time, row and column, each with its own channels."""
    index = torch.cartesian_prod(torch.tensor(positions), torch.arange(grid.height), torch.arange(grid.width))
    spatial = 2 * (dim // 6)
    angles = [
        place.double()[:, None] / 10000 ** (torch.arange(0, channels, 2).double() / channels)
        for place, channels in zip(index.T, (dim - 2 * spatial, spatial, spatial), strict=True)
    ]
    angle = torch.cat(angles, -1).unflatten(0, (len(positions), -1))[:, :, None]
    return angle.cos(), angle.sin()


@dataclass(frozen=True)
class Schedule:
    """A published step list."""

    steps: Sequence[float]
    shift: float
    warp: bool
    first: Sequence[float] = ()

    @property
    def table(self) -> np.ndarray:
        s = 1 - np.arange(1000) / 1000
        return self.shift * s / (1 + (self.shift - 1) * s)

    def sigma(self, timestep: float) -> float:
        return float(self.table[np.abs(1000 * self.table - timestep).argmin()])

    def timesteps(self, *, is_first: bool) -> list[float]:
        steps = self.first if is_first and self.first else self.steps
        if not self.warp:
            return list(steps)
        table = [*(1000 * self.table), 0.0]
        return [float(table[round(1000 - step)]) for step in steps]


Visible = Callable[[int, int], tuple[list[Key], list[int]]]
"""`(first frame of the block, its length) → (keys of the past by frame number, positions of the block)`."""


def full(start: int, block: int) -> tuple[list[Key], list[int]]:
    """Everything, each frame at its own index."""
    return [Key({f: 1.0}, f) for f in range(start)], list(range(start, start + block))


def rolling(window: int, sink: int, *, absolute: bool) -> Visible:
    """The first `sink` frames and as many of the latest as fit, with the block, into `window`."""

    def visible(start: int, block: int) -> tuple[list[Key], list[int]]:
        local = max(sink, start + block - (window - sink))
        frames = [*range(min(sink, start)), *range(local, start)]
        if absolute:
            return [Key({f: 1.0}, f) for f in frames], list(range(start, start + block))
        count = len(frames)
        return [Key({f: 1.0}, i) for i, f in enumerate(frames)], list(range(count, count + block))

    return visible


def ema(window: int, sink: int, alpha: float) -> Visible:
    """`sink ← alpha·sink + (1 − alpha)·evicted` whenever a block pushes `sink` frames out of the window."""

    def visible(start: int, block: int) -> tuple[list[Key], list[int]]:
        folded = [{f: 1.0} for f in range(min(sink, start))]
        local = max(sink, start + block - (window - sink))
        for evicted in range(sink, local, sink):
            for i, weights in enumerate(folded):
                for frame in weights:
                    weights[frame] *= alpha
                weights[evicted + i] = 1 - alpha
        past = folded + [{f: 1.0} for f in range(local, start)]
        count = len(past)
        return [Key(weights, i) for i, weights in enumerate(past)], list(range(count, count + block))

    return visible


@dataclass
class Recaching:
    """A rolling window over a take whose prompt changes; frames can be in the sequence more than once."""

    window: int
    sink: int
    keep_sink: bool
    absolute: bool
    causal: bool = False
    live: dict[int, int] = field(default_factory=dict)
    """The entry that now stands for a frame."""
    origin: int = 0

    def visible(self, start: int, block: int) -> tuple[list[Key], list[int]]:
        local = max(self.origin + self.sink, start + block - (self.window - self.sink))
        frames = [*range(self.origin, min(self.origin + self.sink, start)), *range(local, start)]
        where = frames if self.absolute else range(len(frames))
        own = start if self.absolute else len(frames)
        keys = [Key({self.live[f]: 1.0}, p) for f, p in zip(frames, where, strict=True)]
        return keys, list(range(own, own + block))

    def recache(self, start: int, entries: int, block: int) -> list[Group]:
        """Groups of the frames that are run again, as entries behind the `entries` there are."""
        first = max(0, start - self.window)
        again = list(range(first, start))
        entry = {f: entries + i for i, f in enumerate(again)}
        protected = list(range(self.origin, self.origin + self.sink)) if first and self.keep_sink else []
        fresh = again[len(protected) :]
        place = {f: f - (0 if self.absolute else first) for f in again}
        kept = {f: f if self.absolute else i for i, f in enumerate(protected)}
        old = [Key({self.live[f]: 1.0}, kept[f]) for f in protected]
        groups = []
        for f in again:
            end = start if not self.causal else (f // block + 1) * block
            keys = old + [Key({entry[g]: 1.0}, place[g]) for g in fresh if g < end]
            groups.append(Group([entry[f]], [place[f]], keys or [Key({entry[f]: 1.0}, place[f])]))
        if first and not self.keep_sink:
            self.origin = first
        self.live |= {f: entry[f] for f in fresh}
        return groups


@dataclass
class Oracle:
    """A take, made the slow way."""

    backbone: WanTransformer
    schedule: Schedule
    block: int
    seed: int
    shape: tuple[int, int, int]
    texts: Tensor
    """`[1, S, L, text_dim]`, the prompts."""
    bias: float = 0.0
    """Added to the logits of the past while denoising, but for its first frame."""
    latents: list[Tensor] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def block_of(self, start: int, keys: Sequence[Key], positions: Sequence[int], prompt: int = 0) -> Tensor:
        """Denoise the frames from `start` on; they become entries behind those there are."""
        noise, frames = CounterNoise(self.seed), range(start, start + self.block)
        entries = range(len(self.latents), len(self.latents) + self.block)
        own = [Key({e: 1.0}, p) for e, p in zip(entries, positions, strict=True)]
        dimmed = [Key(k.weights, k.position, self.bias if i else 0.0) for i, k in enumerate(keys)]
        x = noise(Purpose.INITIAL, frames, 0, self.shape)
        for step, timestep in enumerate(self.schedule.timesteps(is_first=start == 0)):
            sigma = self.schedule.sigma(timestep)
            if step:
                x = (1 - sigma) * x + sigma * noise(Purpose.RENOISE, frames, step, self.shape)
            now = Group(entries, positions, [*dimmed, *own])
            x = (x.double() - sigma * self._velocity(x, timestep, now, prompt).double()).float()
        self.add(x, Group(entries, positions, [*keys, *own]), prompt)
        return x

    def add(self, latents: Tensor, group: Group, prompt: int = 0) -> None:
        """Remember clean frames and what they see."""
        self.latents += latents.split(1, 2)
        self.prompts += [prompt] * latents.shape[2]
        self.groups.append(group)

    def _velocity(self, x: Tensor, timestep: float, group: Group, prompt: int) -> Tensor:
        everything = torch.cat([*self.latents, x], 2)
        times = torch.tensor([[0.0] * len(self.latents) + [timestep] * x.shape[2]])
        segments = torch.tensor([[*self.prompts, *[prompt] * x.shape[2]]])
        attention = Dense(self.backbone.config.grid(*self.shape[1:]), [*self.groups, group])
        out: Tensor = self.backbone(everything, times, self.texts, attention=attention, segment_BT=segments)
        return out[:, :, -x.shape[2] :]
