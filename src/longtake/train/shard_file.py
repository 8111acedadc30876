"""Writing a shard of the stored set: latents first, then the sidecar that marks it as finished."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import UserError
from longtake.train.quantise import quantise
from longtake.train.store import FORMAT, ClipRecord

__all__ = ["write_clips", "write_text"]


def write_clips(
    folder: Path,
    name: str,
    latents: Tensor,
    records: Sequence[ClipRecord],
    more: Mapping[str, Any] | None = None,
    shares: Tensor | None = None,
) -> None:
    """Write clips `[K, C, T, h, w]` and their records as the shard `name`; `more` goes into the sidecar too.

    shares: `[K, S, T, h, w]`, how much of each cell each of S solids covers, 0 to 1; where it is known.

    Raises UserError when the disk is full; shards that were finished before stay.
    """
    image = torch.arange(latents.shape[2]) == 0
    steps, scales = quantise(latents, image)
    path = folder / f"{name}.safetensors"
    unfinished = path.with_suffix(".part")
    sidecar = {"format": FORMAT, "clips": [record.to_dict() for record in records], **(more or {})}
    try:
        tensors = {"latents": steps.contiguous(), "scales": scales}
        if shares is not None:
            tensors["shares"] = (255 * shares).round().to(torch.uint8)
        save_file(tensors, unfinished)
        unfinished.replace(path)
        write_text(path.with_suffix(".json"), json.dumps(sidecar))
    except (OSError, SafetensorError) as reason:
        unfinished.unlink(missing_ok=True)
        raise UserError(
            f"shard {path} cannot be written ({reason}); free some space and start again: finished shards stay"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
