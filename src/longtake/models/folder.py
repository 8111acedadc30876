"""Writing a network as diffusers and transformers do: `config.json` and safetensors, in shards when large.

Files are written beside their final names and renamed, so that a folder that is open elsewhere stays whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from longtake.models.containers import INDEX_SUFFIX

CONFIG_FILE = "config.json"
DIFFUSERS_STEM = "diffusion_pytorch_model"
TRANSFORMERS_STEM = "model"
SHARD_BYTES = 4 * 10**9


def save_folder(
    folder: Path,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    stem: str = DIFFUSERS_STEM,
    dtype: torch.dtype | None = None,
    change: Callable[[str, Tensor], Tensor] = lambda name, tensor: tensor,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write `config` as JSON, and `state`.

    stem: what the library calls its files of weights. dtype: None keeps that of each tensor. change: applied to each
    tensor as it is written, so that no second copy of the model is ever held. shard_bytes: the most a file may hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shards = _shards(state, dtype, shard_bytes)
    names = _names(stem, len(shards))
    for name, keys in zip(names, shards, strict=True):
        tensors = {key: _written(change(key, state[key].detach()), dtype or state[key].dtype) for key in keys}
        beside = folder / f".{name}.partial"
        save_file(tensors, beside, metadata={"format": "pt"})
        beside.replace(folder / name)
    _write_index(folder / f"{stem}{INDEX_SUFFIX}", names, shards, written_bytes(state, dtype))
    for old in {*folder.glob(f"{stem}*.safetensors")} - {folder / name for name in names}:
        old.unlink()


def _written(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype).contiguous()


def written_bytes(state: Mapping[str, Tensor], dtype: torch.dtype | None) -> int:
    """Bytes of the tensors of `state` once written in `dtype` (None: as they are)."""
    return sum(tensor.numel() * (dtype or tensor.dtype).itemsize for tensor in state.values())


def _shards(state: Mapping[str, Tensor], dtype: torch.dtype | None, most: int) -> list[list[str]]:
    """Names, in order, split into files of at most `most` bytes (or one tensor)."""
    shards: list[list[str]] = [[]]
    room = most
    for name, tensor in state.items():
        size = tensor.numel() * (dtype or tensor.dtype).itemsize
        if size > room and shards[-1]:
            shards.append([])
            room = most
        shards[-1].append(name)
        room -= size
    return shards


def _names(stem: str, count: int) -> list[str]:
    if count == 1:
        return [f"{stem}.safetensors"]
    return [f"{stem}-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def _write_index(index: Path, names: list[str], shards: list[list[str]], size: int) -> None:
    if len(names) == 1:
        index.unlink(missing_ok=True)
        return
    where = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
    content = {"metadata": {"total_size": size}, "weight_map": where}
    index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
