"""Making takes for a benchmark with the default settings of `generate`, and reading them."""

from __future__ import annotations

from typing import Any

import numpy as np

from longtake.measure.cases import Case
from longtake.measure.hashes import policy_hash, reader_hash, used_memories, weights_hash
from longtake.pipeline import Pipeline
from longtake.timeline import Cue, Timeline
from longtake.world.reader import Reader

__all__ = ["about_model", "about_takes", "film", "timeline_of"]


def timeline_of(case: Case) -> str | Timeline:
    """The case's prompt, or its two prompts with the second of the change."""
    if case.change is None:
        return case.prompt
    at, prompt, _ = case.change
    return Timeline(cues=(Cue(prompt=case.prompt, at=0.0), Cue(prompt=prompt, at=at)))


def film(pipe: Pipeline, case: Case, num_frames: int) -> np.ndarray:
    """Frames of the case's take, uint8 [T, H, W, 3]."""
    take = pipe.stream(timeline_of(case), seed=case.seed, num_frames=num_frames)
    return np.concatenate([chunk.frames for chunk in take])


def about_model(pipe: Pipeline) -> dict[str, Any]:
    """What a result says about the generator; the weights' hash keeps a ledger from mixing two models."""
    memories = used_memories(pipe)
    return {
        "model": pipe.name,
        "size": f"{pipe.width}x{pipe.height}",
        "fps": pipe.fps,
        "weights": weights_hash(pipe),
        **({"memories": memories} if memories else {}),
    }


def about_takes(pipe: Pipeline, reader: Reader) -> dict[str, Any]:
    """What takes and their readings depend on; a ledger with another of it is another measurement."""
    return {
        **about_model(pipe),
        "dtype": str(pipe.backbone.dtype).removeprefix("torch."),
        "policy": policy_hash(pipe.preset.policy),
        "reader": reader_hash(reader),
    }
