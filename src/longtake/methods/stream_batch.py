"""The steps are rows of one batch, each at work on another block (StreamDiffusionV2).

A block enters in the first row and moves one row on with every pass; the last row finishes it. Each row has a cache of
its own, with keys and values at that row's noise level; no pass is spent on clean latents. So a block costs one pass,
whatever the number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from longtake.memory.build import memory_of
from longtake.memory.rows import RowMemories
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.methods.network import brought, predictor
from longtake.methods.queue import Going, Pass, passes, plan_turn, renoise, sigma_of, to_clean
from longtake.models.attention import KeyValue, Rows
from longtake.models.policy import Policy
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling import OnStep
from longtake.sampling.few_step import FewStep
from longtake.sampling.given import Given
from longtake.sampling.guidance import stack_texts
from longtake.sampling.noise import NoiseSource, Purpose


@dataclass(frozen=True, kw_only=True)
class StreamBatch:
    """See the module's text. Without guidance: the models are distilled."""

    backbone: WanTransformer
    sampler: FewStep
    """The step list; its own loop is not used."""
    policy: Policy

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
        memory = memory_of(self.policy, self.backbone, latent_shape, rows=len(self.sampler.steps))
        return MethodState(latent_shape=latent_shape, memory=memory)

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
        """See `Method.denoise`. What stays in flight is `state.flight["noisy"]`, `[rows, C, T, H, W]`, oldest first."""
        block, channels, *size = self.policy.block, *state.latent_shape
        noise, given = brought(self.backbone, noise, conditions.given)
        noisy = state.flight.get("noisy", torch.zeros(0, channels, block, *size)).to(self.backbone.device)
        steps, clean = len(self.sampler.steps), noisy
        blocks = [range(start, start + block) for start in plan.denoise[::block]]
        for each in passes(steps, len(blocks), is_flying="noisy" in state.flight):
            for frames in blocks[len(noisy) : each.blocks]:
                fresh = noise(Purpose.INITIAL, frames, 0, state.latent_shape)
                noisy = torch.cat([noisy, _part(given, plan.denoise, frames).start(fresh)])
            clean = self._clean(each, noisy, blocks, conditions, cast(RowMemories, state.memory))
            clean = on_step(each.step, self.sampler.timesteps[each.step], clean) if on_step else clean
            going = [
                Going(row[None], step + 1, frames)
                for row, step, frames in zip(clean, each.steps, blocks, strict=False)
                if step + 1 < steps
            ]
            noisy = torch.cat(renoise(going, self.sampler, noise)) if going else noisy[:0]
        state.flight = {"noisy": noisy} if len(noisy) else {}
        return clean[:1]

    def _clean(
        self, each: Pass, noisy: Tensor, blocks: list[range], conditions: Conditions, memory: RowMemories
    ) -> Tensor:
        """One pass over all rows, whose keys and values they remember."""
        contexts = [
            memory.rows[step].read(frames, conditions.text).kv
            for step, frames in zip(each.steps, blocks, strict=False)
        ]
        computed: list[dict[int, KeyValue]] = [{} for _ in contexts]
        rules = tuple(
            context.rule(layers.__setitem__)
            for context, layers in zip(contexts, computed, strict=True)
            if context is not None
        )
        levels = torch.tensor(
            [self._level(step, conditions.given) for step in each.steps], dtype=torch.float64
        )
        timestep = levels[:, None].expand(-1, self.policy.block)
        predict = predictor(self.backbone, Rows(rules=rules))
        texts: TextContext = stack_texts(*[conditions.text] * len(rules))
        velocity = predict(noisy, timestep.float(), texts)
        for step, frames, layers in zip(each.steps, blocks, computed, strict=False):
            memory.rows[step].keep(frames, list(layers.values()))
        return to_clean(noisy, velocity, sigma_of(self.sampler, timestep)[:, None, :, None, None])

    def _level(self, step: int, given: Given) -> float:
        """Timestep of a row; that of the first follows the strength of the source that enters there."""
        if step == 0 and given.source is not None and given.begin is not None:
            return given.begin
        return self.sampler.timesteps[step]


def _part(given: Given, flight: range, frames: range) -> Given:
    """What is given for `frames`; the source is that of the last of all frames in flight."""
    if given.source is None:
        return given
    first = flight.stop - given.source.shape[2]
    return replace(given, source=given.source[:, :, frames.start - first : frames.stop - first])
