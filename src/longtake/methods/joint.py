"""The whole video at once, every frame seeing every other: Wan as published (arXiv 2503.20314)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from longtake.memory.nothing import Nothing
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.methods.network import brought, predictor
from longtake.models.wan import WanTransformer
from longtake.sampling import OnStep, Sampler
from longtake.sampling.guidance import guided
from longtake.sampling.noise import NoiseSource


@dataclass(frozen=True, kw_only=True)
class Joint:
    """One chunk, as long as the take."""

    backbone: WanTransformer
    sampler: Sampler
    limit: int
    """Most latent frames; how many a take has that does not say."""
    guidance_scale: float = 1.0

    @property
    def kind(self) -> Kind:
        """See `Method.kind`."""
        return Kind.JOINT

    def start(self, latent_shape: tuple[int, int, int]) -> MethodState:
        """See `Method.start`."""
        return MethodState(latent_shape=latent_shape, memory=Nothing())

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        clip = range(self.limit if total is None else total)
        return Plan(denoise=clip, final=clip)

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`."""
        noise, given = brought(self.backbone, noise, conditions.given)
        predict = predictor(self.backbone, beside=given.beside)
        velocity = guided(predict, conditions.text, conditions.null_text, self.guidance_scale)
        return self.sampler.advance(velocity, noise, plan.denoise, state.latent_shape, on_step, given)
