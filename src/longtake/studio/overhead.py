"""What serving costs: seconds from a chunk that is there to its bytes at a client on the same machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

from longtake.studio.client import Client


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """Seconds from `ready_at` (made, encoded, durable) to the last byte at the client; the clock is one."""

    chunks: int
    """How many were measured."""
    p50: float
    p95: float
    worst: float


def measure_overhead(client: Client, prompt: str, *, chunks: int, warm_up: int = 3) -> Overhead:
    """Watch a new take for so many chunks after the first few. The server has to be on this machine."""
    seconds: list[float] = []
    with client.live(prompt, seed=0) as take:
        for number, piece in enumerate(take):
            arrived = time.time()
            if number >= warm_up:
                seconds.append(arrived - float(piece.message["ready_at"]))
            if len(seconds) == chunks:
                take.stop()
                break
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Overhead(chunks=len(ordered), p50=at(0.5), p95=at(0.95), worst=ordered[-1])
