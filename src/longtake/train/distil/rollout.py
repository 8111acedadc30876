"""Rolling the student out as the engine does, with a gradient at one step of each block (Self-Forcing).

Memory, window rules, noise and steps are the engine's own; only the attention of the differentiated pass is another
one, because the engine's writes into its cache. The past is a constant of that pass: no gradient ever flows through
the cache. A cache serves one sample, so samples are rolled out one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.memory import KVContext, Memory
from longtake.memory.build import memory_of
from longtake.models.attention import Grid, KeyValue, attend, rotary, rotate
from longtake.models.policy import CleanPass, Policy
from longtake.models.steps import FewStepSpec
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling.noise import NoiseSource, Purpose
from longtake.sampling.schedule import FlowSchedule
from longtake.train.device import Compute
from longtake.train.distil.flow import clean_of, few_step

__all__ = ["Beside", "Rollout"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """New frames beside a past that is constant: `CachedContext` in a form that can be differentiated."""

    grid: Grid
    positions: tuple[int, ...]
    """Temporal index of each new frame."""
    past: tuple[KeyValue, ...]
    """For each layer the known keys (rotated) and values, `[1, P, H, D]`."""
    bias: Tensor | None = None
    """`[1, P + S]`, added to the logits of each key."""

    def __post_init__(self) -> None:
        assert not any(kv.k.requires_grad or kv.v.requires_grad for kv in self.past), "gradient in the cache"

    @classmethod
    def of(cls, context: KVContext) -> Beside:
        """A copy of what a memory gave: the memory goes on, and checkpointed blocks are computed again much later."""
        past = tuple(KeyValue(kv.k.detach().clone(), kv.v.detach().clone()) for kv in context.known)
        return cls(grid=context.grid, positions=context.positions, past=past, bias=context.bias)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        angles, past = rotary(self.positions, self.grid, q.shape[-1], q.device), self.past[layer]
        keys = torch.cat([past.k.to(k.dtype), rotate(k, angles)], dim=1)
        values = torch.cat([past.v.to(v.dtype), v], dim=1)
        return attend(rotate(q, angles), keys, values, self.bias)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """How one sample is rolled out."""

    transformer: WanTransformer
    policy: Policy
    latent_shape: tuple[int, int, int]
    """`(C, h, w)` of a latent frame."""
    noisy_context: bool
    """Whether a block gets noise of the context timestep's σ before it is remembered."""
    compute: Compute

    def start(self) -> Memory:
        """A memory before its first frame."""
        return memory_of(self.policy, self.transformer, self.latent_shape)

    @property
    def sampler(self) -> FewStepSpec:
        """The step list."""
        assert isinstance(self.policy.sampler, FewStepSpec)
        return self.policy.sampler

    @torch.no_grad()
    def read(self, rows: Tensor) -> TextContext:
        """What passes without a gradient read of a prompt's embedding `[1, L, D]`."""
        with self.compute.autocast():
            return self.transformer.text_context(rows)

    def block(
        self,
        memory: Memory,
        frames: Sequence[int],
        rows: Tensor,
        text: TextContext,
        noise: NoiseSource,
        *,
        skipped: int,
        trained: bool,
    ) -> Tensor:
        """The clean prediction `[1, C, F, h, w]` of the block `frames` after all steps but the last `skipped`.

        rows: the prompt's embedding, which `text` is made from. trained: whether the last step taken has a gradient.
        """
        timesteps, schedule = self._timesteps(frames), FlowSchedule(self.sampler.shift)
        with torch.no_grad(), self.compute.autocast():  # a memory may make its past anew
            context = memory.read(frames, text).kv
        assert context is not None
        x = self._place(noise(Purpose.INITIAL, frames, 0, self.latent_shape))
        taken = timesteps[: len(timesteps) - skipped]
        for step, timestep in enumerate(taken):
            sigma = schedule.sigma(timestep)
            if step:
                fresh = self._place(noise(Purpose.RENOISE, frames, step, self.latent_shape))
                x = (1 - sigma) * x + sigma * fresh
            levels = torch.full((1, len(frames)), timestep, device=x.device)
            if trained and step == len(taken) - 1:
                with self.compute.autocast():
                    velocity = self.transformer(x, levels, rows, attention=Beside.of(context))
            else:
                with torch.no_grad(), self.compute.autocast():
                    velocity = self.transformer(x, levels, text, attention=context.rule())
            x = clean_of(x, velocity, torch.full_like(levels, sigma))
        return x

    @torch.no_grad()
    def remember(
        self, memory: Memory, frames: Sequence[int], latents: Tensor, text: TextContext, noise: NoiseSource
    ) -> None:
        """Put a finished block into the memory."""
        latents, context = latents.detach(), self.policy.context
        if self.noisy_context and isinstance(context, CleanPass):
            sigma = FlowSchedule(self.sampler.shift).sigma(context.timestep)
            fresh = self._place(noise(Purpose.CONTEXT, frames, 0, self.latent_shape))
            latents = (1 - sigma) * latents + sigma * fresh
        with self.compute.autocast():
            memory.commit(frames, latents, text, None)

    def _timesteps(self, frames: Sequence[int]) -> list[float]:
        sampler = self.sampler
        first = frames[0] == 0 and sampler.first_steps
        steps = sampler.model_copy(update={"steps": sampler.first_steps}) if first else sampler
        return [timestep for timestep in few_step(steps).timesteps if timestep > 0]

    def _place(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.compute.device)
