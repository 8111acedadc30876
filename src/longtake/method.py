"""A method of making long video: which latent frames are made when, from what memory, by what sampler.

A method declares its kind, and the kind says what a take of it can do. A new method is one class here (or one file
beside this one when it grows) put together from a memory and a sampler.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import torch
from torch import Tensor

from longtake.memory import Context, Memory
from longtake.memory.kv_window import KVWindow, WindowRule
from longtake.models.attention import CachedContext, Grid
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling import OnStep, Sampler
from longtake.sampling.guidance import guided
from longtake.sampling.noise import NoiseSource


class Kind(StrEnum):
    """How a method goes through time."""

    AUTOREGRESSIVE = "autoregressive"
    """Block after block; endless, steerable, resumable."""
    QUEUE = "queue"
    """Several blocks in flight at different noise levels; endless, steerable with delay."""
    JOINT = "joint"
    """The whole length at once; finite, not steerable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One turn of the rollout loop, in latent frames of the take."""

    denoise: range
    """Frames that the sampler works on."""
    final: range
    """Frames that are clean afterwards: they are remembered and decoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What steers a block."""

    text: TextContext
    """The prompt in force."""
    null_text: TextContext | None = None
    """The empty prompt, for guidance."""


class Method(Protocol):
    """The exchangeable part of the rollout loop."""

    kind: Kind

    def start(self, latent_shape: tuple[int, int, int]) -> Memory:
        """An empty memory for a take whose latent frames have `latent_shape` `(C, H, W)`."""
        ...

    def next(self, position: int) -> Plan:
        """What to make when `position` latent frames are final."""
        ...

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        context: Context,
        latent_shape: tuple[int, int, int],
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Clean latents `[1, C, T, H, W]` of `plan.final`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Causal:
    """Block-causal autoregression from a key-value cache (CausVid, Self-Forcing and their family)."""

    backbone: WanTransformer
    sampler: Sampler
    rule: WindowRule
    guidance_scale: float = 1.0
    context_timestep: float = 0.0
    """Timestep of the pass that writes a finished block into the cache."""

    kind = Kind.AUTOREGRESSIVE

    def start(self, latent_shape: tuple[int, int, int]) -> KVWindow:
        """See `Method.start`."""
        return KVWindow(
            self.backbone, self._grid(latent_shape), self.rule, context_timestep=self.context_timestep
        )

    def next(self, position: int) -> Plan:
        """See `Method.next`."""
        block = range(position, position + self.rule.block)
        return Plan(denoise=block, final=block)

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        context: Context,
        latent_shape: tuple[int, int, int],
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`. Both branches of guidance see the same past."""
        kv = context.kv
        assert kv is not None
        grid, model = self._grid(latent_shape), self.backbone

        def predict(latents: Tensor, timestep: Tensor, text: TextContext) -> Tensor:
            rule = CachedContext(grid=grid, positions=kv.positions, past=kv.past)
            latents, timestep = latents.to(model.device, model.dtype), timestep.to(model.device)
            velocity: Tensor = model(latents, timestep, text, attention=rule)
            return velocity.to("cpu", torch.float32)

        velocity = guided(predict, conditions.text, conditions.null_text, self.guidance_scale)
        return self.sampler.advance(velocity, noise, plan.denoise, latent_shape, on_step)

    def _grid(self, latent_shape: tuple[int, int, int]) -> Grid:
        return self.backbone.config.grid(*latent_shape[1:])
