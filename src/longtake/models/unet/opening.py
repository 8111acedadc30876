"""From the files of a StreamingT2V to its networks: the published archive, or a folder that was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from longtake.models.clip_image import ClipImageEncoder
from longtake.models.clip_text import ClipTextEncoder, read_clip_tokenizer
from longtake.models.containers import open_container
from longtake.models.files import check_fit, read_json
from longtake.models.hub import Checkpoint
from longtake.models.kl_codec import KlCodec
from longtake.models.unet import sizes
from longtake.models.unet.checkpoint import StreamingWeights, read_streaming
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.streaming import StreamingUNet


class StreamingNetworks(NamedTuple):
    """A StreamingT2V, ready to run."""

    unet: StreamingUNet
    codec: KlCodec
    text_encoder: ClipTextEncoder


class _Files:
    """The parts of a checkpoint; an archive is read once, whatever the number of parts in it."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, allow_pt: bool) -> None:
        self.checkpoint, self.dtype, self.allow_pt = checkpoint, dtype, allow_pt
        self.archive = cache(lambda path: read_streaming(path, allow_pt=allow_pt))

    def unet(self) -> StreamingUNet:
        path = self.checkpoint.part("transformer").path
        image_encoder = self.image_encoder()
        if path.is_dir():
            config = UNetConfig.from_dict(read_json(path / "config.json"))
            return filled(
                config, open_container(path, allow_pt=self.allow_pt).tensors, path, image_encoder, self.dtype
            )
        state = self.archive(path).network
        return filled(sizes.unet_config(state, path), state, path, image_encoder, self.dtype)

    def image_encoder(self) -> ClipImageEncoder | None:
        """Where there is one: beside the networks, or in their archive."""
        place = self.checkpoint.parts.get("image_encoder")
        path = self.checkpoint.part("transformer").path if place is None else place.path
        if path.is_dir():
            return (
                None
                if place is None
                else ClipImageEncoder.from_pretrained(path, self.dtype, allow_pt=self.allow_pt)
            )
        return image_encoder_of(self.archive(path), self.dtype)

    def text_encoder(self) -> ClipTextEncoder:
        words, path = self.checkpoint.part("tokenizer").path, self.checkpoint.part("text_encoder").path
        if path.is_dir():
            return ClipTextEncoder.from_files(path, words, self.dtype, allow_pt=self.allow_pt)
        state = self.archive(path).text_encoder
        model = ClipTextEncoder.blank(read_clip_tokenizer(words), sizes.text_config(state, path))
        model.fill(state, path, self.dtype)
        return model

    def codec(self) -> KlCodec:
        path = self.checkpoint.part("codec").path
        if path.is_dir():
            return KlCodec.from_pretrained(path, self.dtype, allow_pt=self.allow_pt)
        state = self.archive(path).codec
        codec = KlCodec.blank(sizes.codec_config(state, path))
        codec.fill(state, path, self.dtype)
        return codec


def open_streaming(
    checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device, allow_pt: bool = True
) -> StreamingNetworks:
    """Open every part. Raises UserError for what is missing, damaged, not allowed or does not fit."""
    files = _Files(checkpoint, dtype, allow_pt)
    return StreamingNetworks(
        files.unet().to(device), files.codec().to(device), files.text_encoder().to(device)
    )


def filled(
    config: UNetConfig,
    state: Mapping[str, Tensor],
    source: Path,
    image_encoder: ClipImageEncoder | None,
    dtype: torch.dtype,
) -> StreamingUNet:
    """The network with these weights, which stay in their file until they are used where their format is `dtype`."""
    with torch.device("meta"):
        model = StreamingUNet(config)
    check_fit(model, state, source=source)
    model.load_state_dict(state, assign=True)
    model.image_encoder = image_encoder
    model.eval().requires_grad_(False)
    return model.to(dtype)


def image_encoder_of(weights: StreamingWeights, dtype: torch.dtype) -> ClipImageEncoder | None:
    """The image encoder of an archive, where it has one."""
    if not weights.image_encoder:
        return None
    config: dict[str, Any] = sizes.image_config(weights.image_encoder, weights.source)
    model = ClipImageEncoder.blank(config)
    check_fit(model.encoder, weights.image_encoder, source=weights.source)
    model.encoder.load_state_dict(weights.image_encoder, assign=True)
    model.requires_grad_(False)
    return model.to(dtype)
