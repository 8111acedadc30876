"""The cost of length: does chunk 400 take as long as chunk 20, and does memory stay where it was?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from longtake.measure.filming import about_model
from longtake.measure.playback import PROMPTS
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.measure.stats import percentile
from longtake.pipeline import Pipeline

__all__ = ["length", "length_figures", "resident_mb"]

SETTLED = 20
"""Chunks after which memory must not grow, and a chunk takes what all later ones should."""


def resident_mb() -> float:
    """Memory that this process holds now, in MB of 10⁶ bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def length(pipe: Pipeline, frames: int, progress: Callable[[int, int, str], None]) -> Result:
    """One take of `frames` frames, chunk by chunk; its last tenth by turns with the early chunks of another."""
    begin = time.perf_counter()
    late = pipe.stream(PROMPTS[0], seed=0, num_frames=frames)
    early = pipe.stream(PROMPTS[0], seed=0)
    for _ in islice(early, SETTLED):
        pass
    soon, times, memory = list[float](), list[float](), list[float]()
    made, chunk = 0, pipe.preset.policy.block * pipe.codec.temporal_stride
    while made < frames:
        by_turns = made >= frames - max(frames // 10, chunk)
        for take in ((early, late), (late, early))[len(times) % 2] if by_turns else (late,):
            start = time.perf_counter()
            count = len(next(take).frames)
            (times if take is late else soon).append(time.perf_counter() - start)
            made += count if take is late else 0
        memory.append(resident_mb())
        progress(made, frames, "frames")
    return Result(
        name="length",
        title=f"Cost of length: one take of {frames} frames",
        definition=(
            "Chunk time, without encoding: median of the last tenth of the chunks over that of another take's from its "
            f"chunk {SETTLED} on, made by turns with them, for a machine's speed changes over minutes. "
            f"Memory: most resident memory after chunk {SETTLED} less that at chunk {SETTLED}."
        ),
        config={**about_model(pipe), "frames": frames},
        figures=tuple(length_figures(soon, times, memory)),
        provenance=provenance(str(pipe.backbone.dtype).removeprefix("torch.")),
        seconds=time.perf_counter() - begin,
    )


def length_figures(soon: list[float], times: list[float], memory: list[float]) -> list[Figure]:
    """soon: seconds of early chunks, made by turns with as many last ones of `times`; memory: MB after these."""
    at_last, late = times[-len(soon) :], memory[min(SETTLED, len(memory) - 1) :]
    return [
        Figure(
            name="chunk time, last tenth over early chunks",
            value=percentile(at_last, 50) / percentile(soon, 50),
            unit="ratio",
            count=len(soon),
            asked="<= 1.05",
        ),
        Figure(
            name="memory growth after chunk 20",
            value=max(late) - late[0],
            unit="MB",
            count=len(late),
            asked="<= 20",
        ),
        Figure(name="chunk, median", value=percentile(times, 50), unit="s", count=len(times)),
        Figure(name="resident memory at the end", value=memory[-1], unit="MB"),
    ]
