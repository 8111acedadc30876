"""From a chunk that is there to its bytes at a client on the same machine."""

from __future__ import annotations

import time

from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.studio.bench.crowd import PROMPT
from longtake.studio.bench.process import server
from longtake.studio.client import Client
from longtake.studio.overhead import measure_overhead


def delivery(model: str, *, chunks: int) -> Result:
    """Watch one take for so many chunks."""
    began = time.monotonic()
    with server(model) as running, Client(running.address) as client:
        about = running.model()
        found = measure_overhead(client, PROMPT, chunks=chunks)
    figures = (
        Figure(name="median", value=1000 * found.p50, unit="ms", count=found.chunks),
        Figure(name="95 %", value=1000 * found.p95, unit="ms", count=found.chunks, asked="<= 20"),
        Figure(name="worst", value=1000 * found.worst, unit="ms", count=found.chunks),
    )
    return Result(
        name="delivery",
        title="What serving adds to a chunk",
        definition=(
            "Wall-clock time from a chunk that is made, encoded and durable in the server's worker to its last byte "
            "at a client in another process over loopback: signing, queues, WebSocket. The model works on the next "
            "chunk meanwhile. The first three chunks are not counted."
        ),
        config={"model": about["id"], "size": f"{about['width']}x{about['height']}"},
        figures=figures,
        provenance=provenance("float32"),
        seconds=time.monotonic() - began,
    )
