"""A published archive of StreamingT2V as folders in diffusers' layout, so that it is read apart only once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.containers import find_file
from longtake.models.folder import DIFFUSERS_STEM, TRANSFORMERS_STEM, save_folder
from longtake.models.unet import sizes
from longtake.models.unet.checkpoint import NotStreaming, StreamingWeights, read_streaming

SUFFIXES = (".ckpt", ".safetensors")
"""Of files that may be archives."""
FOLDERS = ("unet", "text_encoder", "vae", "image_encoder")
"""What an archive becomes."""


class Part(NamedTuple):
    """A folder to be written."""

    name: str
    config: dict[str, Any]
    state: Mapping[str, Tensor]
    stem: str


def find_streaming(path: Path) -> StreamingWeights | None:
    """The archive at a path that a person named; None where there is something else."""
    try:
        file = find_file(path)
    except UserError:
        return None
    if file.suffix not in SUFFIXES:
        return None
    try:
        return read_streaming(file, allow_pt=True)
    except NotStreaming:
        return None


def parts_of(weights: StreamingWeights) -> tuple[Part, ...]:
    """`FOLDERS`; without an image encoder where the archive has none."""
    source = weights.source
    network = sizes.unet_config(weights.network, source).to_dict()
    text, codec = sizes.text_config(weights.text_encoder, source), sizes.codec_config(weights.codec, source)
    parts = [
        Part("unet", network, weights.network, DIFFUSERS_STEM),
        Part("text_encoder", text, weights.text_encoder, TRANSFORMERS_STEM),
        Part("vae", codec, weights.codec, DIFFUSERS_STEM),
    ]
    if weights.image_encoder:
        config = sizes.image_config(weights.image_encoder, source)
        parts.append(Part("image_encoder", config, weights.image_encoder, TRANSFORMERS_STEM))
    return tuple(parts)


def write_parts(folder: Path, parts: tuple[Part, ...], dtype: torch.dtype | None) -> None:
    """Write every part below `folder`. dtype: None keeps that of each tensor."""
    for part in parts:
        save_folder(folder / part.name, part.config, part.state, stem=part.stem, dtype=dtype)
