"""The causal presets as their papers and repositories have them, for the oracle; and both ways to run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from longtake.methods import Conditions
from longtake.methods.build import causal
from longtake.models.hub import presets
from longtake.models.policy import Policy
from longtake.sampling.few_step import FewStep
from longtake.sampling.noise import CounterNoise
from tests.methods.oracle import Oracle, Schedule, Visible, ema, full, rolling
from tests.tiny import TINY_WAN, tiny_transformer

FOUR = (1000, 750, 500, 250)
ALPHA = 0.9
"""In place of Reward Forcing's 0.999, which would hide errors."""
SEED = 11
SHAPE = (TINY_WAN.in_channels, 4, 6)


@dataclass(frozen=True)
class Published:
    """How a checkpoint streams."""

    block: int
    visible: Visible
    schedule: Schedule
    blocks: int = 40


def _frame_wise(steps: Sequence[float]) -> Published:
    visible = rolling(21, 0, absolute=True)
    return Published(1, visible, Schedule(steps, 5, True, () if steps == FOUR else FOUR))


CHUNKS = Published(3, rolling(21, 0, absolute=True), Schedule(FOUR, 5, True))
PUBLISHED = {
    "causvid": Published(3, full, Schedule((1000, 757, 522), 8, False), blocks=7),
    "causvid-warp": Published(3, full, Schedule(FOUR, 8, True), blocks=7),
    "self-forcing": CHUNKS,
    "causal-forcing-chunk": CHUNKS,
    "causal-forcing-frame": _frame_wise(FOUR),
    "causal-forcing-frame-2step": _frame_wise((1000, 500)),
    "causal-forcing-frame-1step": _frame_wise((1000,)),
    "longlive": Published(3, rolling(12, 3, absolute=True), Schedule(FOUR, 5, True)),
    "longlive-inf": Published(3, rolling(12, 3, absolute=False), Schedule(FOUR, 5, True)),
    "reward-forcing": Published(3, ema(9, 3, ALPHA), Schedule(FOUR, 5, True)),
}


@cache
def backbone():  # type: ignore[no-untyped-def]
    return tiny_transformer()


@cache
def prompts() -> Tensor:
    """`[1, S, L, text_dim]`: three prompts."""
    return torch.randn(1, 3, 5, TINY_WAN.text_dim, generator=torch.Generator().manual_seed(5))


def policy_of(name: str) -> Policy:
    """The shipped policy, its alpha where an error shows."""
    policy = presets()[name].policy
    if policy.window.kind != "ema-sink":
        return policy
    return policy.model_copy(update={"window": policy.window.model_copy(update={"alpha": ALPHA})})


def streamed(policy: Policy, blocks: int, changes: dict[int, int] | None = None) -> list[Tensor]:
    """The product: latents of each block. changes: block → prompt from there on."""
    spec = policy.sampler
    sampler = FewStep(steps=spec.steps, shift=spec.shift, warp=spec.warp, first_steps=spec.first_steps)
    method = causal(policy, backbone(), sampler)
    state, noise, made, prompt = method.start(SHAPE), CounterNoise(SEED), [], 0
    for index in range(blocks):
        prompt = (changes or {}).get(index, prompt)
        text = backbone().text_context(prompts()[:, prompt])
        plan = method.next(index * policy.block, None)
        made.append(method.denoise(plan, noise, Conditions(text=text), state))
        state.memory.commit(plan.final, made[-1], text, None)
    return made


@cache
def product(name: str) -> list[Tensor]:
    """All blocks of a preset."""
    return streamed(policy_of(name), PUBLISHED[name].blocks)


def oracle_of(published: Published) -> Oracle:
    """The slow form of a preset, before its first block."""
    return Oracle(backbone(), published.schedule, published.block, SEED, SHAPE, prompts())


@cache
def by_oracle(published: Published) -> list[Tensor]:
    """All blocks of a preset, the slow way."""
    oracle, block = oracle_of(published), published.block
    return [
        oracle.block_of(start, *published.visible(start, block))
        for start in range(0, published.blocks * block, block)
    ]


def difference(one: Sequence[Tensor], two: Sequence[Tensor]) -> float:
    """Largest difference over all blocks, relative to the scale of the second."""
    pairs = list(zip(one, two, strict=True))
    scale = max(float(b.abs().max()) for _, b in pairs)
    return max(float((a - b).abs().max()) for a, b in pairs) / scale
