"""A joint window with one noise level a block, which rolls a block at a time (Rolling Forcing, arXiv 2509.25161).

With S steps and as many blocks in the window, one pass finishes the front block and takes each of the others one step
further; so after the first S passes a block costs one pass over the window and one that remembers the front block.
Shapes: F latent frames in flight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.memory.build import memory_of
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.methods.network import predictor
from longtake.methods.queue import Going, Pass, passes, plan_turn, renoise, sigma_of, to_clean
from longtake.models.policy import Policy
from longtake.models.wan import WanTransformer
from longtake.sampling import OnStep
from longtake.sampling.few_step import FewStep
from longtake.sampling.guidance import guided
from longtake.sampling.noise import MovedNoise, NoiseSource, Purpose


@dataclass(frozen=True, kw_only=True)
class Rolling:
    """See the module's text. A new prompt acts on all blocks in flight, each at its own noise level."""

    backbone: WanTransformer
    sampler: FewStep
    """The step list; its own loop is not used."""
    policy: Policy
    guidance_scale: float = 1.0

    @property
    def kind(self) -> Kind:
        """See `Method.kind`."""
        return Kind.QUEUE

    @property
    def limit(self) -> int | None:
        """See `Method.limit`."""
        return self.policy.longest(self.backbone.config.rope_max_seq_len)

    def start(self, latent_shape: tuple[int, int, int]) -> MethodState:
        """See `Method.start`."""
        return MethodState(
            latent_shape=latent_shape, memory=memory_of(self.policy, self.backbone, latent_shape)
        )

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        return plan_turn(position, total, self.policy.block, len(self.sampler.steps))

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`. What stays in flight is `state.flight["noisy"]`, `[1, C, F, H, W]`."""
        noise = MovedNoise(noise, self.backbone.device)
        noisy = state.flight.get("noisy", torch.zeros(1, state.latent_shape[0], 0, *state.latent_shape[1:]))
        noisy = noisy.to(self.backbone.device)
        steps, block = len(self.sampler.steps), self.policy.block
        clean = noisy
        for each in passes(steps, len(plan.denoise) // block, is_flying="noisy" in state.flight):
            frames = plan.denoise[: each.blocks * block]
            entering = frames[noisy.shape[2] :]
            if entering:
                fresh = noise(Purpose.INITIAL, entering, 0, state.latent_shape)
                noisy = torch.cat([noisy, fresh], 2)
            clean = self._clean(each, noisy, frames, conditions, state)
            clean = on_step(each.step, self.sampler.timesteps[each.step], clean) if on_step else clean
            noisy = self._renoised(each, clean, noise, frames)
        state.flight = {"noisy": noisy} if noisy.shape[2] else {}
        return clean[:, :, :block]

    def _clean(
        self, each: Pass, noisy: Tensor, frames: range, conditions: Conditions, state: MethodState
    ) -> Tensor:
        """One pass over the window: the clean latents that the network sees in each block."""
        kv = state.memory.read(frames, conditions.text).kv
        assert kv is not None
        predict = predictor(self.backbone, kv.rule())
        velocity = guided(predict, conditions.text, conditions.null_text, self.guidance_scale)
        levels = torch.tensor([self.sampler.timesteps[step] for step in each.steps], dtype=torch.float64)
        timestep = levels.repeat_interleave(self.policy.block)
        sigmas = sigma_of(self.sampler, timestep)[None, None, :, None, None]
        return to_clean(noisy, velocity(noisy, timestep.float()[None]), sigmas)

    def _renoised(self, each: Pass, clean: Tensor, noise: NoiseSource, frames: range) -> Tensor:
        """The blocks that go on, each at its next level; a block behind its last step is left out."""
        block, going = self.policy.block, []
        for index, step in enumerate(each.steps):
            if step + 1 < len(self.sampler.steps):
                own = slice(index * block, (index + 1) * block)
                going.append(Going(clean[:, :, own], step + 1, frames[own]))
        return torch.cat(renoise(going, self.sampler, noise), 2) if going else clean[:, :, :0]
