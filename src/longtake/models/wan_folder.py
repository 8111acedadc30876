"""Writing a Wan transformer as a diffusers folder: `config.json` and safetensors, in shards when large.

Files are written beside their final names and renamed, so that a folder that is open elsewhere stays whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from longtake.models.containers import INDEX_SUFFIX
from longtake.models.wan_config import WanConfig
from longtake.models.wan_weights import CONFIG_FILE

STEM = "diffusion_pytorch_model"
SHARD_BYTES = 4 * 10**9


def save_folder(
    folder: Path,
    config: WanConfig,
    state: Mapping[str, Tensor],
    *,
    dtype: torch.dtype | None = None,
    change: Callable[[str, Tensor], Tensor] = lambda name, tensor: tensor,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write `state` (diffusers' names) so that `WanTransformer3DModel.from_pretrained` opens it.

    dtype: None keeps that of each tensor. change: applied to each tensor as it is written, so that no second copy of
    the model is ever held. shard_bytes: the most a file may hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {"_class_name": "WanTransformer3DModel"} | asdict(config)
    (folder / CONFIG_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    shards = _shards(state, dtype, shard_bytes)
    names = _names(len(shards))
    for name, keys in zip(names, shards, strict=True):
        tensors = {key: _written(change(key, state[key].detach()), dtype or state[key].dtype) for key in keys}
        beside = folder / f".{name}.partial"
        save_file(tensors, beside, metadata={"format": "pt"})
        beside.replace(folder / name)
    _write_index(folder, names, shards, written_bytes(state, dtype))
    for old in {*folder.glob(f"{STEM}*.safetensors")} - {folder / name for name in names}:
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


def _names(count: int) -> list[str]:
    if count == 1:
        return [f"{STEM}.safetensors"]
    return [f"{STEM}-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def _write_index(folder: Path, names: list[str], shards: list[list[str]], size: int) -> None:
    index = folder / f"{STEM}{INDEX_SUFFIX}"
    if len(names) == 1:
        index.unlink(missing_ok=True)
        return
    where = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
    content = {"metadata": {"total_size": size}, "weight_map": where}
    index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
