"""Block-causal autoregression from a key-value cache (CausVid, Self-Forcing and their family)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from longtake.memory import KeepingMemory
from longtake.memory.build import FirstFrames, memory_of
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.methods.network import brought, predictor
from longtake.models.attention import KeyValue
from longtake.models.policy import NoPass, Policy
from longtake.models.wan import WanTransformer
from longtake.sampling import OnStep, Sampler
from longtake.sampling.guidance import guided
from longtake.sampling.noise import NoiseSource


@dataclass(frozen=True, kw_only=True)
class Causal:
    """Each block is denoised beside what the policy remembers of the blocks before it."""

    backbone: WanTransformer
    sampler: Sampler
    policy: Policy
    guidance_scale: float = 1.0
    codec: FirstFrames | None = None
    """For memories that go back to pixels."""

    @property
    def kind(self) -> Kind:
        """See `Method.kind`."""
        return Kind.AUTOREGRESSIVE

    @property
    def limit(self) -> int | None:
        """See `Method.limit`."""
        return self.policy.longest(self.backbone.config.rope_max_seq_len)

    def start(self, latent_shape: tuple[int, int, int]) -> MethodState:
        """See `Method.start`."""
        memory = memory_of(self.policy, self.backbone, latent_shape, self.codec)
        return MethodState(latent_shape=latent_shape, memory=memory)

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        block = range(position, position + self.policy.block)
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
        noise, given = brought(self.backbone, noise, conditions.given)
        kv = state.memory.read(plan.denoise, conditions.text).kv
        assert kv is not None
        last = dict[int, KeyValue]()
        keeps = isinstance(self.policy.context, NoPass)
        predict = predictor(self.backbone, kv.rule(last.__setitem__ if keeps else None))
        text, null_text, until = conditions.text, conditions.null_text, self.policy.guidance_until
        velocity = guided(predict, text, null_text, self.guidance_scale, until=until)
        latents = self.sampler.advance(velocity, noise, plan.denoise, state.latent_shape, on_step, given)
        if last:
            cast(KeepingMemory, state.memory).keep(plan.denoise, list(last.values()))
        return latents
