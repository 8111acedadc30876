"""Chunks from noise to encoded video, timed on whatever device the networks are on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from longtake.engine import Engine
from longtake.measure.bare import random_take
from longtake.measure.streaming_cost import Inside
from longtake.media import FragmentedMp4Writer, VideoFormat

__all__ = ["Run", "first_frame", "flops", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Wall-clock seconds of some chunks."""

    frames: int
    """Pixel frames of them."""
    seconds: float
    """All of it, the last chunk's encoding included."""
    transformer: float
    """Inside the transformer; right on a GPU only where its calls were waited for."""
    codec: float
    """Decoding, the way to main memory included."""
    encode: float
    """Into the file."""


def run(
    engine: Engine,
    network: nn.Module,
    form: VideoFormat,
    *,
    chunks: int,
    warm_up: int,
    wait: Callable[[], object] = lambda: None,
    beside: bool = False,
) -> Run:
    """Make `chunks` chunks after `warm_up` of them, and encode them into a file that is thrown away.

    wait: called after every call of the network, so that its time is its own. beside: decode beside denoising.
    """
    take, _ = random_take(engine, decode_beside=beside)
    inside, frames, codec, encode = Inside(wait=wait), 0, 0.0, 0.0
    with TemporaryDirectory() as folder, FragmentedMp4Writer(Path(folder) / "take.mp4", form) as writer:
        for chunk in islice(take, warm_up):
            writer.write(chunk.frames)
        begin = time.perf_counter()
        with inside.of(network):
            for chunk in islice(take, chunks):
                start = time.perf_counter()
                writer.write(chunk.frames)
                encode += time.perf_counter() - start
                codec += chunk.timings.decode
                frames += len(chunk.frames)
        seconds = time.perf_counter() - begin
    return Run(frames=frames, seconds=seconds, transformer=inside.seconds, codec=codec, encode=encode)


def first_frame(engine: Engine, form: VideoFormat) -> float:
    """Seconds from a new take to its first chunk in a file, with the networks warm."""
    with TemporaryDirectory() as folder, FragmentedMp4Writer(Path(folder) / "take.mp4", form) as writer:
        begin = time.perf_counter()
        writer.write(next(random_take(engine)[0]).frames)
        return time.perf_counter() - begin


def flops(engine: Engine, network: nn.Module, *, chunks: int, warm_up: int) -> int:
    """What the network computes for `chunks` chunks after `warm_up` of them, as PyTorch counts."""
    take, _ = random_take(engine)
    for _ in islice(take, warm_up):
        pass
    counts = list[FlopCounterMode]()

    def enter(*_: Any) -> None:
        counts.append(FlopCounterMode(display=False))
        counts[-1].__enter__()

    def leave(*_: Any) -> None:
        counts[-1].__exit__(None, None, None)

    hooks = [network.register_forward_pre_hook(enter), network.register_forward_hook(leave)]
    try:
        for _ in islice(take, chunks):
            pass
    finally:
        for hook in hooks:
            hook.remove()
    return sum(count.get_total_flops() for count in counts)
