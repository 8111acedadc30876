"""The cost of length of every way of remembering that has no end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from longtake.engine import Engine
from longtake.measure.bare import named, random_codec, random_engine, random_take
from longtake.measure.provenance import provenance
from longtake.measure.random_weights import random_transformer
from longtake.measure.results import Figure, Result
from longtake.measure.stats import percentile
from longtake.memory.build import planned_bytes
from longtake.models.hub import presets
from longtake.models.policy import Policy
from longtake.models.wan import WanConfig

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
        definition="Chunk time: median of the last tenth of the chunks over the first tenth's after as many chunks as "
        "fill the window. Cache: bytes held by the memory at the end over the bytes planned from the config.",
        config={"network": named(NETWORK), "latent grid": list(size), "blocks": blocks},
        figures=tuple(figures),
        provenance=provenance("float32"),
        seconds=time.perf_counter() - begin,
    )


def _cost(name: str, engine: Engine, policy: Policy, blocks: int, planned: int) -> Iterator[Figure]:
    (take, state), times, sizes = random_take(engine), list[float](), set[int]()
    for _ in range(blocks):
        start = time.perf_counter()
        next(take)
        times.append(time.perf_counter() - start)
        sizes.add(state.method.memory.num_bytes)
    filled = -(-policy.window.frames // policy.block) + 1
    settled, tenth = times[filled:], max(1, blocks // 10)
    ratio = percentile(settled[-tenth:], 50) / percentile(settled[:tenth], 50)
    yield Figure(
        name=f"{name}: chunk time, last tenth over first",
        value=ratio,
        unit="ratio",
        count=blocks,
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
