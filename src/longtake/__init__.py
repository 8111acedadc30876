"""longtake: text-to-video that streams, takes new directions while it plays, and never has to stop.

    import longtake

    pipe = longtake.load("mini")
    take = pipe.stream("a red sphere rolls to the right on a wooden floor", seed=7)
    for chunk in take:                                   # endless; chunk.frames is uint8 [T, H, W, 3]
        ...
        take.steer("a blue sphere rolls to the right on a wooden floor")

Everything public is here; the modules behind it load when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from longtake.chunk import Chunk
    from longtake.enhance.enhancer import Enhancer
    from longtake.enhance.settings import EnhanceSettings
    from longtake.errors import UserError
    from longtake.models.codecs import CodecChoice
    from longtake.pipeline import Pipeline
    from longtake.settings import Settings
    from longtake.snapshot import Snapshot
    from longtake.take import Take
    from longtake.timeline import Cue, Receipt, Timeline

__version__ = "0.1.0"
__all__ = [
    "Chunk",
    "Cue",
    "EnhanceSettings",
    "Enhancer",
    "Pipeline",
    "Receipt",
    "Settings",
    "Snapshot",
    "Take",
    "Timeline",
    "UserError",
    "load",
]

_HOMES = {
    "Chunk": "chunk",
    "Cue": "timeline",
    "EnhanceSettings": "enhance.settings",
    "Enhancer": "enhance.enhancer",
    "Pipeline": "pipeline",
    "Receipt": "timeline",
    "Settings": "settings",
    "Snapshot": "snapshot",
    "Take": "take",
    "Timeline": "timeline",
    "UserError": "errors",
}


def load(
    model: str | Path = "mini",
    *,
    torch_dtype: torch.dtype | None = None,
    profile: str | None = None,
    codec: CodecChoice = "full",
) -> Pipeline:
    """Load a model by its preset's name or from a folder, ready to generate; see `Pipeline.from_pretrained`."""
    from longtake.pipeline import Pipeline

    return Pipeline.from_pretrained(model, torch_dtype=torch_dtype, profile=profile, codec=codec)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'longtake' has no attribute {name!r}")
    return getattr(import_module(f"longtake.{_HOMES[name]}"), name)
