"""Streaming from a cache against making the same blocks without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from longtake.measure.bare import named, random_codec, random_engine, random_take, random_text
from longtake.measure.provenance import provenance
from longtake.measure.random_weights import random_transformer
from longtake.measure.results import Figure, Result
from longtake.measure.stats import percentile
from longtake.models.attention import CachedContext, KeyValue, WholeClip, block_causal_mask
from longtake.models.policy import Policy
from longtake.models.wan import TextContext, WanConfig, WanTransformer
from longtake.sampling.few_step import FewStep
from longtake.sampling.noise import CounterNoise, NoiseSource, Purpose
from longtake.sampling.schedule import FlowSchedule

__all__ = ["streaming"]

Progress = Callable[[int, int, str], None]
STEPS = FewStep(steps=(1000, 750, 500, 250), shift=5.0, warp=True)
BLOCK, BLOCKS = 3, 7
POLICY = Policy.model_validate(
    {
        "block": BLOCK,
        "window": {"kind": "full", "frames": BLOCK * BLOCKS},
        "sampler": {"kind": "few-step", "steps": STEPS.steps, "shift": STEPS.shift, "warp": STEPS.warp},
    }
)
NETWORK = WanConfig(
    num_attention_heads=6, attention_head_dim=128, ffn_dim=4480, num_layers=6, text_dim=128, in_channels=4,
    out_channels=4,
)  # fmt: skip
"""Half as wide as Wan's 1.3B, a fifth as deep; heads and the inner width in Wan's proportion."""


@dataclass
class Inside:
    """Seconds spent inside some modules."""

    wait: Callable[[], object] = lambda: None
    """Called before the clock is read, to wait for a device that computes by itself."""
    seconds: float = 0.0
    _began: list[float] = field(default_factory=list)

    @contextmanager
    def of(self, *modules: nn.Module) -> Iterator[None]:
        """Count every call of these modules, but not of one from within another."""
        hooks = [module.register_forward_pre_hook(self._enter) for module in modules]
        hooks += [module.register_forward_hook(self._leave) for module in modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, *_: Any) -> None:
        self.wait()
        self._began.append(time.perf_counter())

    def _leave(self, *_: Any) -> None:
        self.wait()
        began = self._began.pop()
        if not self._began:
            self.seconds += time.perf_counter() - began


@dataclass
class _Seconds:
    """Of each block."""

    cached: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    """What of it is loop."""
    every_step: list[float] = field(default_factory=list)
    once: list[float] = field(default_factory=list)

    def over_cached(
        self, name: str, seconds: list[float], *, unit: str = "ratio", asked: str | None = None
    ) -> Figure:
        """All of these over all that streaming took."""
        return Figure(name=name, value=sum(seconds) / sum(self.cached), unit=unit, count=BLOCKS, asked=asked)

    def figures(self, tokens: int) -> tuple[Figure, ...]:
        """`tokens` in a latent frame."""
        block = percentile(self.cached, 50)
        return (
            Figure(name="one block from the cache, median", value=block, unit="s", asked=">= 0.5"),
            self.over_cached("recomputing at every step over streaming", self.every_step, asked=">= 3"),
            Figure(name="the same, counted", value=counted(NETWORK, tokens), unit="ratio"),
            self.over_cached("recomputing once a block over streaming", self.once),
            self.over_cached("loop overhead", self.outside, unit="share", asked="<= 0.03"),
        )


def streaming(size: tuple[int, int], progress: Progress) -> Result:
    """Streaming from the cache against running the whole past again, side by side, block by block."""
    begin = time.perf_counter()
    model, codec = random_transformer(NETWORK), random_codec(NETWORK.in_channels)
    engine = random_engine(POLICY, model, codec, size)
    past = _Past(model, engine.latent_shape, random_text(model))
    next(random_take(engine)[0])  # what is chosen or allocated at first use
    (take, _), inside, seconds = random_take(engine), Inside(), _Seconds()
    difference = 0.0
    for number in range(BLOCKS):
        inside.seconds = 0.0
        with inside.of(model):
            chunk = next(take)
        seconds.cached.append(chunk.timings.total - chunk.timings.decode)
        seconds.outside.append(seconds.cached[-1] - inside.seconds)
        seconds.every_step.append(past.timed(number, chunk.latents, recompute_each_step=True))
        difference = max(difference, past.difference)
        seconds.once.append(past.timed(number, chunk.latents, recompute_each_step=False))
        past.append(chunk.latents)
        progress(number + 1, BLOCKS, "blocks")
    return Result(
        name="streaming",
        title="Streaming from a cache against recomputing the past",
        definition=(
            "Seconds from noise to clean latents and remembered block, 4 steps a block, 21 latent frames. At every "
            "step: the whole past and the block go through the network, block-causal mask. Once a block: the past "
            "goes through the network once before the block's steps. Counted: multiplications of matrices and of "
            "attention alone; the larger the frame, the more of them are attention's, which a cache saves less of. "
            "Loop overhead: time of a chunk outside the network's calls and the codec's."
        ),
        config={"network": named(NETWORK), "latent grid": list(size), "blocks": BLOCKS},
        figures=(
            *seconds.figures(NETWORK.grid(*size).tokens),
            Figure(name="largest difference of latents", value=difference, asked="<= 1e-4"),
        ),
        provenance=provenance("float32"),
        seconds=time.perf_counter() - begin,
    )


def counted(config: WanConfig, tokens: int) -> float:
    """Multiplications of recomputing at every step over those of streaming; `tokens` in a latent frame.

    A pass: matrices of every token, and as many products of attention as queries times keys. Streaming makes one pass
    a step and one more to remember the block, each of the block alone.
    """
    steps, blocks, own = len(STEPS.timesteps), range(1, BLOCKS + 1), BLOCK * tokens
    matrices = config.num_layers * (6 * config.dim**2 + 2 * config.dim * config.ffn_dim)
    product = config.num_layers * 2 * config.dim

    def cost(queries: int, pairs: int) -> int:
        return queries * own * matrices + pairs * own**2 * product

    streamed = (steps + 1) * cost(BLOCKS, sum(blocks))
    again = steps * cost(sum(blocks), sum(seen * (seen + 1) // 2 for seen in blocks))
    return again / streamed


@dataclass
class _Past:
    """The same blocks without a cache. Shapes: latents `[1, C, T, H, W]`."""

    model: WanTransformer
    shape: tuple[int, int, int]
    text: TextContext
    clean: Tensor | None = None
    difference: float = 0.0
    """Of the latents of the last block made anew at every step."""

    def append(self, latents: Tensor) -> None:
        self.clean = latents if self.clean is None else torch.cat([self.clean, latents], 2)

    @torch.inference_mode()
    def timed(self, number: int, made: Tensor, *, recompute_each_step: bool) -> float:
        """Seconds for the block that streaming made as `made`."""
        start, noise = time.perf_counter(), CounterNoise(0)
        if recompute_each_step:
            latents = self._block(number, made.shape[2], noise)
            self.difference = float((latents - made).abs().max())
        else:
            if self.clean is not None:
                self._forward(self.clean, torch.zeros(1, self.clean.shape[2]))
            self._alone(number, made.shape[2], noise)
        return time.perf_counter() - start

    def _block(self, number: int, length: int, noise: NoiseSource) -> Tensor:
        """The few-step sampler, the whole past beside the block at every step."""
        frames, schedule = range(number * length, (number + 1) * length), FlowSchedule(STEPS.shift)
        x = noise(Purpose.INITIAL, frames, 0, self.shape)
        for step, timestep in enumerate(STEPS.timesteps):
            sigma = schedule.sigma(timestep)
            if step:
                x = (1 - sigma) * x + sigma * noise(Purpose.RENOISE, frames, step, self.shape)
            known = self.clean if self.clean is not None else x[:, :, :0]
            levels = torch.cat([torch.zeros(1, known.shape[2]), torch.full((1, length), timestep)], 1)
            velocity = self._forward(torch.cat([known, x], 2), levels)[:, :, -length:]
            x = (x.double() - sigma * velocity.double()).float()
        return x

    def _alone(self, number: int, length: int, noise: NoiseSource) -> None:
        """The block's own passes beside a context of the right length."""
        grid = self.model.config.grid(*self.shape[1:])
        config, known = self.model.config, number * length
        blank = torch.zeros(
            1, (known + length) * grid.tokens, config.num_attention_heads, config.attention_head_dim
        )
        past = (KeyValue(blank, blank),) * config.num_layers
        x = noise(Purpose.INITIAL, range(known, known + length), 0, self.shape)
        for timestep in STEPS.timesteps:
            rule = CachedContext(grid=grid, positions=tuple(range(known, known + length)), past=past)
            self.model(x, torch.full((1, length), timestep), self.text, attention=rule)

    def _forward(self, latents: Tensor, timestep: Tensor) -> Tensor:
        frames = latents.shape[2]
        rule = WholeClip(
            grid=self.model.config.grid(*self.shape[1:]),
            positions=tuple(range(frames)),
            mask=block_causal_mask(frames, BLOCK),
        )
        velocity: Tensor = self.model(latents, timestep, self.text, attention=rule)
        return velocity
