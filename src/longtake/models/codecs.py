"""Which codec a config, a folder or a published file is, and opening it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from longtake.errors import UserError
from longtake.models.codec import Codec
from longtake.models.files import read_json
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
from longtake.models.tiny_codec import TinyCodec
from longtake.models.wan_codec import WanCodec

CONFIG_FILE = "config.json"
WAN = "AutoencoderKLWan"


def open_codec(path: Path, *, dtype: torch.dtype, allow_pt: bool = False, raw_encode: bool = False) -> Codec:
    """The codec in a folder, or the Wan VAE of a published file. Raises UserError for one that is not known.

    dtype: of the Wan VAE; mini's codec computes in float32. raw_encode: see `WanCodec`.
    """
    if path.is_dir():
        kind = read_json(path / CONFIG_FILE).get("_class_name")
        if kind == "PatchCodec":
            return PatchCodec.from_pretrained(path)
        if kind == "TinyCodec":
            return TinyCodec.from_pretrained(path)
        if kind != WAN:
            raise UserError(
                f"{path / CONFIG_FILE} describes a {kind!r}; PatchCodec, TinyCodec and {WAN} are known"
            )
    return WanCodec.from_pretrained(path, dtype, allow_pt=allow_pt, raw_encode=raw_encode)


def blank_codec(config: Mapping[str, Any] | None) -> Codec:
    """A codec without contents (on the meta device); None stands for the published Wan VAE."""
    values = dict(config or {"_class_name": WAN})
    kind = values.pop("_class_name", None)
    if kind == "PatchCodec":
        with torch.device("meta"):
            return PatchCodec(PatchCodecConfig(**values))
    if kind != WAN:
        raise UserError(f"a codec of the kind {kind!r} is not known; PatchCodec and {WAN} are")
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):
        return WanCodec(AutoencoderKLWan.from_config(values))


def spatial_stride(config: Mapping[str, Any] | None) -> int:
    """Pixels of a latent cell, from a codec's config alone; None stands for the published Wan VAE."""
    values = config or {}
    return int(values.get("spatial_stride", 2 ** (len(values.get("dim_mult", (1, 2, 4, 4))) - 1)))
