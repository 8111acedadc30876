"""Making takes for a benchmark with the default settings of `generate`, and reading them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from longtake.measure.cases import Case
from longtake.models.rollouts import Streaming
from longtake.pipeline import Pipeline
from longtake.timeline import Cue, Timeline

__all__ = ["about_model", "film", "timeline_of"]


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
    return {
        "model": pipe.name,
        "size": f"{pipe.width}x{pipe.height}",
        "fps": pipe.fps,
        "weights": _weights_hash(pipe),
    }


def _weights_hash(pipe: Pipeline) -> str:
    """Of the networks that its takes are made with, whatever they are loaded as: values count as bfloat16.

    StreamingT2V's memories count where the policy streams with them.
    """
    from hashlib import sha256

    digest = sha256()
    states = [{**pipe.backbone.state_dict(), **pipe.codec.state_dict()}]
    if isinstance(pipe.preset.policy.rollout, Streaming):
        memories = (pipe.memories.cam, pipe.memories.apm)
        states += [network.state_dict() for network in memories if isinstance(network, nn.Module)]
    for state in states:
        for name, tensor in sorted(state.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().to(torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]
