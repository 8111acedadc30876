"""Weights between two models: what a stage trained, and another model that began as the same network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from longtake.errors import UserError
from longtake.models.hub import presets
from longtake.train.distil.opening import open_model
from longtake.train.distil.record import StageRecord, begun_as
from longtake.train.distil.stages import STAGES

__all__ = ["mix_in", "other_end"]


def other_end(record: StageRecord, other: str | None) -> str:
    """The model that `Interpolation.other` means. Raises UserError when there is none."""
    stages = {name: info.name for info in STAGES for name in (info.name, info.field)}
    if other is None or other in stages:
        return begun_as(record, stages[other] if other else record.stage)
    if other not in presets() and not Path(other).exists():
        raise UserError(
            f"interpolate.other is {other}, which is neither a stage, nor a preset, nor a folder; "
            "give the run folder of a stage, or leave it out to mean what the student began as"
        )
    return other


@torch.no_grad()
def mix_in(transformer: nn.Module, model: str, share: float) -> None:
    """Move every number of the transformer this share of the way to that of another model.

    Raises UserError when their weights are not of the same shapes.
    """
    mine, theirs = transformer.state_dict(), open_model(model).transformer.state_dict()
    if {name: value.shape for name, value in mine.items()} != {n: v.shape for n, v in theirs.items()}:
        raise UserError(
            f"model {model} cannot be mixed with what was trained: its weights have other names or shapes; "
            "use one that began as the same network"
        )
    for name, value in mine.items():
        value.lerp_(theirs[name].to(value), share)
