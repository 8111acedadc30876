"""Block-causal autoregression from a key-value cache (CausVid, Self-Forcing and their family)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.memory.kv_window import KVWindow, WindowRule
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.models.attention import CachedContext, Grid
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling import OnStep, Sampler
from longtake.sampling.guidance import guided
from longtake.sampling.noise import NoiseSource


@dataclass(frozen=True, kw_only=True)
class Causal:
    """Each block is denoised beside the cache of the blocks before it."""

    backbone: WanTransformer
    sampler: Sampler
    rule: WindowRule
    guidance_scale: float = 1.0
    context_timestep: float = 0.0
    """Timestep of the pass that writes a finished block into the cache."""
    limit: int | None = None
    """Most latent frames that the checkpoint can make."""

    @property
    def kind(self) -> Kind:
        """See `Method.kind`."""
        return Kind.AUTOREGRESSIVE

    def start(self, latent_shape: tuple[int, int, int]) -> MethodState:
        """See `Method.start`."""
        memory = KVWindow(
            self.backbone, self._grid(latent_shape), self.rule, context_timestep=self.context_timestep
        )
        return MethodState(latent_shape=latent_shape, memory=memory)

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        block = range(position, position + self.rule.block)
        return Plan(denoise=block, final=block)

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`. Both branches of guidance see the same past."""
        kv = state.memory.read(plan.denoise).kv
        assert kv is not None
        grid, model = self._grid(state.latent_shape), self.backbone

        def predict(latents: Tensor, timestep: Tensor, text: TextContext) -> Tensor:
            rule = CachedContext(grid=grid, positions=kv.positions, past=kv.past)
            latents, timestep = latents.to(model.device, model.dtype), timestep.to(model.device)
            velocity: Tensor = model(latents, timestep, text, attention=rule)
            return velocity.to("cpu", torch.float32)

        velocity = guided(predict, conditions.text, conditions.null_text, self.guidance_scale)
        return self.sampler.advance(
            velocity, noise, plan.denoise, state.latent_shape, on_step, conditions.given
        )

    def _grid(self, latent_shape: tuple[int, int, int]) -> Grid:
        return self.backbone.config.grid(*latent_shape[1:])
