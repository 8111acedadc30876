"""Checkpoints that a kill at any moment cannot spoil.

One safetensors file each: tensors, and in its header the position as JSON. It is written under another name, flushed
to the disk and then renamed, so a checkpoint is there as a whole or not at all; the one before it is kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import UserError

__all__ = ["Position", "checkpoints", "load_checkpoint", "refuse_old_run", "save_checkpoint"]

KEEP = 2
UNFINISHED = ".part"


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """Where a run stands."""

    step: int = 0
    """Optimiser steps done in all."""
    stage: str = ""
    """Stage in which the next step lies."""
    since_start: int = 0
    """Steps since the beginning, or since the last restart from weights (warm-up counts these)."""
    seconds: float = 0.0
    """Time spent training, over all legs."""
    shards: tuple[str, ...] = field(default=())
    """Shards of the latent set in use."""


def checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def refuse_old_run(out: Path, resume: bool) -> None:
    """Raise UserError when a run is there and is not to be resumed."""
    if checkpoints(out) and not resume:
        raise UserError(f"{out} already holds a run; add --resume to go on, or give another folder")


def save_checkpoint(folder: Path, position: Position, tensors: Mapping[str, Tensor]) -> Path:
    """Write a checkpoint and drop all but the newest two. Raises UserError when the disk is full; older ones stay."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"checkpoint-{position.step:08d}.safetensors"
    unfinished = path.with_suffix(UNFINISHED)
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        save_file(whole, unfinished, metadata={"position": json.dumps(asdict(position))})
        _flush(unfinished)
        unfinished.replace(path)
        _flush(folder)
    except (OSError, SafetensorError) as reason:
        unfinished.unlink(missing_ok=True)
        last = next(iter(reversed(checkpoints(folder))), "none")
        raise UserError(
            f"checkpoint {path} cannot be written ({reason}); the last good one is {last}"
        ) from None
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink()
    return path


def load_checkpoint(path: Path) -> tuple[Position, dict[str, Tensor]]:
    """What `save_checkpoint` wrote, on the CPU."""
    try:
        with safe_open(path, "pt") as file:
            position = json.loads((file.metadata() or {})["position"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as reason:
        raise UserError(
            f"checkpoint {path} cannot be read ({reason}); delete it to use the one before"
        ) from None
    return Position(**{**position, "shards": tuple(position["shards"])}), tensors


def remove_unfinished(folder: Path) -> None:
    """Drop what a kill left half written."""
    for path in folder.glob(f"checkpoint-*{UNFINISHED}"):
        path.unlink()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def select(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below `prefix/`, without it."""
    return {
        name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}/")
    }
