"""The cost of length: does chunk 400 take as long as chunk 20, and does memory stay where it was?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from longtake.measure.filming import about_model
from longtake.measure.playback import PROMPTS
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.measure.stats import percentile
from longtake.pipeline import Pipeline

__all__ = ["length", "length_figures", "resident_mb"]

SETTLED = 20
"""Chunks after which memory must not grow."""


def resident_mb() -> float:
    """Memory that this process holds now, in MB of 10⁶ bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def length(pipe: Pipeline, frames: int, progress: Callable[[int, int, str], None]) -> Result:
    """One take of `frames` frames, chunk by chunk."""
    times: list[float] = []
    memory: list[float] = []
    begin = last = time.perf_counter()
    for chunk in pipe.stream(PROMPTS[0], seed=0, num_frames=frames):
        now = time.perf_counter()
        times.append(now - last)
        memory.append(resident_mb())
        progress(chunk.start_frame + len(chunk.frames), frames, "frames")
        last = time.perf_counter()
    return Result(
        name="length",
        title=f"Cost of length: one take of {frames} frames",
        definition=(
            "Chunk time, without encoding: median of the last tenth of the chunks over the first tenth's. "
            f"Memory: most resident memory after chunk {SETTLED} less that at chunk {SETTLED}."
        ),
        config={**about_model(pipe), "frames": frames},
        figures=tuple(length_figures(times, memory)),
        provenance=provenance(str(pipe.backbone.dtype).removeprefix("torch.")),
        seconds=time.perf_counter() - begin,
    )


def length_figures(times: list[float], memory: list[float]) -> list[Figure]:
    """From seconds a chunk and resident MB after it."""
    tenth = max(1, len(times) // 10)
    ratio = percentile(times[-tenth:], 50) / percentile(times[:tenth], 50)
    late = memory[min(SETTLED, len(memory) - 1) :]
    return [
        Figure(
            name="chunk time, last tenth over first tenth",
            value=ratio,
            unit="ratio",
            count=len(times),
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
