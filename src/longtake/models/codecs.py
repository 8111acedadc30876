"""Which codec a config, a folder or a published file is, and opening it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from longtake.errors import UserError
from longtake.models.codec import Codec
from longtake.models.files import read_json
from longtake.models.hub import Checkpoint
from longtake.models.parts import PartName
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
from longtake.models.tiny_codec import TinyCodec, TinyCodecConfig
from longtake.models.wan_codec import WanCodec

CONFIG_FILE = "config.json"
WAN = "AutoencoderKLWan"
CodecChoice = Literal["full", "tiny"]
"""The codec that a model was trained with, or a tiny one on the same latents: many times faster, a little blurred."""
PARTS: dict[CodecChoice, PartName] = {"full": "codec", "tiny": "tiny_codec"}


def codec_part(checkpoint: Checkpoint, choice: CodecChoice) -> PartName:
    """The part of a model that a codec is. UserError for a choice that is not known, or not to be had."""
    if choice not in PARTS:
        raise UserError(f"codec {choice!r} is unknown; use one of {', '.join(PARTS)}")
    part, preset = PARTS[choice], checkpoint.preset
    if part not in {"codec", *preset.parts, *checkpoint.parts}:
        raise UserError(f"{preset.name!r} has no tiny codec; leave it out, or use codec 'full'")
    return part


def open_codec(
    path: Path,
    *,
    choice: CodecChoice = "full",
    dtype: torch.dtype,
    allow_pt: bool = False,
    raw_encode: bool = False,
) -> Codec:
    """The codec in a folder, or in a published file: the Wan VAE, or by choice TAEHV.

    dtype: what it computes in; mini's codec computes in float32. raw_encode: see `WanCodec`. Raises UserError for one
    that is not known.
    """
    if path.is_dir():
        kind = read_json(path / CONFIG_FILE).get("_class_name")
        if kind == "PatchCodec":
            return PatchCodec.from_pretrained(path)
        if kind == "TinyCodec":
            return TinyCodec.from_pretrained(path, dtype, raw_encode=raw_encode)
        if kind != WAN:
            raise UserError(
                f"{path / CONFIG_FILE} describes a {kind!r}; PatchCodec, TinyCodec and {WAN} are known"
            )
    if choice == "tiny":
        return TinyCodec.from_pretrained(path, dtype, allow_pt=allow_pt, raw_encode=raw_encode)
    return WanCodec.from_pretrained(path, dtype, allow_pt=allow_pt, raw_encode=raw_encode)


def blank_codec(config: Mapping[str, Any] | None, choice: CodecChoice = "full") -> Codec:
    """A codec without contents (on the meta device); None stands for the published one, the Wan VAE or TAEHV."""
    values = dict(config or {"_class_name": "TinyCodec" if choice == "tiny" else WAN})
    kind = values.pop("_class_name", None)
    if kind == "PatchCodec":
        with torch.device("meta"):
            return PatchCodec(PatchCodecConfig(**values))
    if kind == "TinyCodec":
        with torch.device("meta"):
            return TinyCodec(TinyCodecConfig.from_dict(values))
    if kind != WAN:
        raise UserError(f"a codec of the kind {kind!r} is not known; PatchCodec, TinyCodec and {WAN} are")
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):
        return WanCodec(AutoencoderKLWan.from_config(values))


def spatial_stride(config: Mapping[str, Any] | None) -> int:
    """Pixels of a latent cell, from a codec's config alone; None stands for the published Wan VAE."""
    values = config or {}
    return int(values.get("spatial_stride", 2 ** (len(values.get("dim_mult", (1, 2, 4, 4))) - 1)))
