"""Making takes for a benchmark with the default settings of `generate`, and reading them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from longtake.measure.cases import Case
from longtake.pipeline import Pipeline
from longtake.take import Chunk
from longtake.timeline import Cue, Timeline

__all__ = ["about_model", "film", "seconds_to_frames", "timeline_of"]


def timeline_of(case: Case) -> str | Timeline:
    """The case's prompt, or its two prompts with the second of the change."""
    if case.change is None:
        return case.prompt
    at, prompt, _ = case.change
    return Timeline(cues=(Cue(prompt=case.prompt, at=0.0), Cue(prompt=prompt, at=at)))


def film(pipe: Pipeline, case: Case, num_frames: int, *, keep: tuple[int, int] | None = None) -> np.ndarray:
    """Frames of a take, uint8 [T, H, W, 3]; only `keep` = (first, end) are held in memory."""
    first, end = keep or (0, num_frames)
    parts = [
        chunk.frames[max(0, first - chunk.start_frame) : max(0, end - chunk.start_frame)]
        for chunk in _chunks(pipe, case, num_frames)
    ]
    return np.concatenate([part for part in parts if len(part)])


def _chunks(pipe: Pipeline, case: Case, num_frames: int) -> Iterator[Chunk]:
    yield from pipe.stream(timeline_of(case), seed=case.seed, num_frames=num_frames)


def seconds_to_frames(pipe: Pipeline, seconds: float) -> int:
    """Whole frames in so many seconds."""
    return round(seconds * pipe.fps)


def about_model(pipe: Pipeline) -> dict[str, Any]:
    """What a result says about the generator; the weights' hash keeps a ledger from mixing two models."""
    return {
        "model": pipe.name,
        "size": f"{pipe.width}x{pipe.height}",
        "fps": pipe.fps,
        "weights": _weights_hash(pipe),
    }


def _weights_hash(pipe: Pipeline) -> str:
    from hashlib import sha256

    digest = sha256()
    for name, tensor in sorted({**pipe.backbone.state_dict(), **pipe.codec.state_dict()}.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]
