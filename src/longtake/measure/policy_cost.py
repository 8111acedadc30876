"""The cost of length of every way of remembering that has no end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from longtake.engine import Engine, TakeState
from longtake.measure.bare import named, random_codec, random_engine, random_take
from longtake.measure.provenance import provenance
from longtake.measure.random_weights import random_transformer
from longtake.measure.results import Figure, Result
from longtake.measure.stats import percentile
from longtake.memory.build import planned_bytes
from longtake.models.hub import presets
from longtake.models.policy import Policy
from longtake.models.wan import WanConfig
from longtake.take import Take

__all__ = ["cost_of_policies"]

Progress = Callable[[int, int, str], None]
NETWORK = WanConfig(
    num_attention_heads=2, attention_head_dim=24, ffn_dim=96, num_layers=2, freq_dim=32, text_dim=24,
    in_channels=4, out_channels=4,
)  # fmt: skip


def cost_of_policies(blocks: int, progress: Progress) -> Result:
    """Every preset without an end on tiny random weights: do late blocks take longer, does the cache grow?"""
    begin, figures = time.perf_counter(), list[Figure]()
    model, codec, size = random_transformer(NETWORK), random_codec(NETWORK.in_channels), (6, 10)
    endless = {name: preset for name, preset in presets().items() if preset.policy.kind != "joint"}
    for number, (name, preset) in enumerate(endless.items()):
        policy = preset.policy.model_copy(update={"guidance_scale": 1.0})
        engine = random_engine(policy, model, codec, size)
        if engine.method.limit is None:
            figures += _cost(
                name,
                engine,
                policy,
                blocks,
                planned_bytes(policy, NETWORK, NETWORK.grid(*size), torch.float32),
            )
        progress(number + 1, len(endless), name)
    return Result(
        name="cost-of-policies",
        title=f"Cost of length of every policy without an end, {blocks} blocks on tiny random weights",
        definition="Chunk time: median of a take's last tenth of chunks over that of another's first tenth after as "
        "many as fill the window; both are made side by side, chunk by chunk. Cache: bytes held by the memory at the "
        "end over the bytes planned from the config.",
        config={"network": named(NETWORK), "latent grid": list(size), "blocks": blocks},
        figures=tuple(figures),
        provenance=provenance("float32"),
        seconds=time.perf_counter() - begin,
    )


def _cost(name: str, engine: Engine, policy: Policy, blocks: int, planned: int) -> Iterator[Figure]:
    filled, tenth = -(-policy.window.frames // policy.block) + 1, max(1, blocks // 10)
    (early, _), (late, state) = random_take(engine), random_take(engine)
    _make(early, filled)
    sizes = _make(late, blocks - tenth, state)
    soon, at_last = list[float](), list[float]()
    for turn in range(tenth):
        pair = [(early, soon), (late, at_last)]
        for take, times in pair if turn % 2 else pair[::-1]:
            start = time.perf_counter()
            next(take)
            times.append(time.perf_counter() - start)
        sizes.add(state.method.memory.num_bytes)
    yield Figure(
        name=f"{name}: chunk time, last tenth over first",
        value=percentile(at_last, 50) / percentile(soon, 50),
        unit="ratio",
        count=tenth,
        asked="<= 1.05",
    )
    yield Figure(
        name=f"{name}: cache over planned",
        value=max(sizes) / planned if planned else None,
        unit="ratio",
        count=len(sizes),
        asked="<= 1.02",
        note="constant" if len(sizes) == 1 else "not constant",
    )


def _make(take: Take, count: int, state: TakeState | None = None) -> set[int]:
    """Make so many chunks; returns the sizes that the memory has had."""
    sizes = set[int]()
    for _ in range(count):
        next(take)
        if state is not None:
            sizes.add(state.method.memory.num_bytes)
    return sizes
