"""Where a UMT5 encoder's weights lie, and how they get into it: mapped from disk, never copied where they fit as is.

A bf16 encoder of many gigabytes thus costs no memory until it computes, and its pages can be taken back at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from longtake.errors import UserError
from longtake.models.files import load_strict, read_json, read_safetensors
from longtake.models.network import TextNetwork
from longtake.models.tensor_file import read_tensors
from longtake.models.umt5 import UMT5Encoder
from longtake.models.umt5_keymap import is_original, to_transformers, with_one_table

__all__ = ["EncoderFiles", "reading_dtype"]

LARGE = 10**9
"""Numbers from which an encoder is not read in float32."""

_CONFIG, _INDEX, _WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"


def reading_dtype(sizes: TextNetwork) -> torch.dtype:
    """What an encoder reads in: float32, and bfloat16 for one as large as Wan's, which is published in it."""
    return torch.bfloat16 if sizes.parameters > LARGE else torch.float32


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderFiles:
    """The files of one UMT5 encoder: a transformers folder, or the file that Wan publishes."""

    source: Path
    """The folder or file that was named."""
    weights: tuple[Path, ...]
    """Files with tensors."""
    config: TextNetwork
    """Sizes."""
    allow_pt: bool = False
    """Whether PyTorch files are opened; see `read_pt`."""

    @classmethod
    def of(
        cls, path: Path, *, config: Mapping[str, Any] | None = None, allow_pt: bool = False
    ) -> EncoderFiles:
        """The files at `path`. `config`: the sizes of a single file in transformers' words, UMT5-XXL's if not given.

        Raises UserError for a folder that is incomplete.
        """
        if not path.exists():
            raise UserError(f"{path} is missing; the model's folder is incomplete")
        if not path.is_dir():
            own = None if config is None else TextNetwork.model_validate(config)
            return cls(source=path, weights=(path,), config=own or TextNetwork(), allow_pt=allow_pt)
        sizes = _sizes(path / _CONFIG)
        if (path / _INDEX).is_file():
            shards = sorted({str(name) for name in read_json(path / _INDEX).get("weight_map", {}).values()})
            return cls(source=path, weights=tuple(path / shard for shard in shards), config=sizes)
        return cls(source=path, weights=(path / _WEIGHTS,), config=sizes)

    def blank(self) -> UMT5Encoder:
        """The encoder without contents, frozen."""
        with torch.device("meta"):
            return UMT5Encoder(self.config).eval().requires_grad_(False)

    def load_into(self, encoder: UMT5Encoder) -> None:
        """Map the weights into an encoder as they are on disk. UserError when they do not fit or cannot be read."""
        load_strict(encoder, self._tensors(), source=self.source, assign=True)
        encoder.requires_grad_(False)

    def identity(self) -> str:
        """A hash over names, sizes and times of the files: changes whenever one of them may have been written."""
        seen: list[Any] = [json.dumps(self.config.model_dump(), sort_keys=True)]
        for path in self.weights:
            try:
                stat = path.stat()
            except OSError as reason:
                raise UserError(f"weights {path} cannot be read: {reason.strerror}") from None
            seen.append([str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()

    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for path in self.weights:
            is_pickle = self.source == path
            tensors |= read_tensors(path, allow_pt=self.allow_pt) if is_pickle else read_safetensors(path)
        return to_transformers(tensors) if is_original(tensors) else with_one_table(tensors)


def _sizes(config: Path) -> TextNetwork:
    try:
        return TextNetwork.model_validate(read_json(config))
    except ValidationError as reason:
        first = reason.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{config} is damaged ({where}: {first['msg']}); restore the file") from None
