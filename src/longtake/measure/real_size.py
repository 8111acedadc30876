"""A block of a full-size model on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from longtake.measure.bare import full_size, named, random_codec, random_engine, random_take
from longtake.measure.length import resident_mb
from longtake.measure.provenance import provenance
from longtake.measure.random_weights import random_transformer
from longtake.measure.results import Figure, Result
from longtake.models.process import peak_rss_mb
from longtake.models.wide_products import needed, widen

__all__ = ["real_size"]

Progress = Callable[[int, int, str], None]


def real_size(progress: Progress, preset: str = "self-forcing", size: tuple[int, int] = (60, 104)) -> Result:
    """One block of a full-size model with random weights, bfloat16."""
    about, config = full_size(preset)
    begin, before = time.perf_counter(), resident_mb()
    model = random_transformer(config, torch.bfloat16)
    if needed(torch.bfloat16, model.device):
        widen(model)
    progress(1, 2, "weights drawn")
    policy = about.policy
    engine = random_engine(policy, model, random_codec(config.in_channels), size)
    start = time.perf_counter()
    chunk = next(random_take(engine)[0])
    progress(2, 2, "block made")
    return Result(
        name="real-size",
        title=f"One block of {preset} at its real size, random weights, bfloat16",
        definition="From noise to clean latents and remembered block, the codec left out (a small random one "
        "stands in). Memory: most resident memory of the process less what it held before.",
        config={
            "network": named(config),
            "latent grid": list(size),
            "sampler": policy.sampler.model_dump(mode="json"),
        },
        figures=(
            Figure(name="one block", value=chunk.timings.denoise + chunk.timings.commit, unit="s"),
            Figure(name="wall clock, decode included", value=time.perf_counter() - start, unit="s"),
            Figure(
                name="peak memory", value=(peak_rss_mb() - before) / 1073.741824, unit="GiB", asked="<= 16"
            ),
        ),
        provenance=provenance("bfloat16"),
        seconds=time.perf_counter() - begin,
    )
