"""From a checkpoint on disk to its networks, laid out as a profile says. One place for folders and published files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from longtake.errors import UserError
from longtake.models.backends import compile_backend, compile_feed_forward
from longtake.models.clip_text import ClipTextEncoder
from longtake.models.codec import Codec
from longtake.models.codecs import CodecChoice, codec_part, open_codec
from longtake.models.files import PT_SUFFIXES, read_json
from longtake.models.hub import Checkpoint
from longtake.models.image_encoder import ImageEncoder
from longtake.models.lora import read_lora
from longtake.models.network import TextNetwork
from longtake.models.offload import FileShelf, Layerwise, Shelf
from longtake.models.parts import MEMORIES
from longtake.models.plan import RESIDENT, Profile
from longtake.models.quantise import quantise
from longtake.models.streaming.networks import MemoryNetworks, open_apm, open_cam
from longtake.models.text import EmbeddingCache, Offload, TextEncoder
from longtake.models.text_weights import reading_dtype
from longtake.models.tiled_codec import TiledCodec, Tiling
from longtake.models.unet.opening import open_streaming
from longtake.models.unet.streaming import StreamingUNet
from longtake.models.wan import WanTransformer
from longtake.models.wide_products import codec_dtype, needed, widen


class Networks(NamedTuple):
    """A model's networks, ready to run."""

    backbone: WanTransformer | StreamingUNet
    codec: Codec
    text_encoder: TextEncoder | ClipTextEncoder
    image_encoder: ImageEncoder | None = None
    """For models that read pictures through one."""
    memories: MemoryNetworks = MemoryNetworks()
    """StreamingT2V's, where the model's folder has them."""


def open_model(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype,
    device: torch.device,
    profile: Profile = RESIDENT,
    codec: CodecChoice = "full",
    allow_pt: bool = True,
) -> Networks:
    """Open every part of a checkpoint.

    codec: which of its codecs. allow_pt: whether parts may come from `.pt` files (tensors only); false where nobody
    asked for this model by name, as in a server. Raises UserError for what is missing, damaged, not allowed, or not to
    be had on this machine.
    """
    if checkpoint.preset.architecture == "unet":
        return _streaming(checkpoint, dtype, device, profile, allow_pt)
    place = checkpoint.part(codec_part(checkpoint, codec))
    dtype = torch.bfloat16 if profile.weights == "bf16" else dtype
    backbone = _transformer(checkpoint, dtype, allow_pt)
    if compile_backend().name == "compile":
        compile_feed_forward(backbone.blocks)
    if needed(dtype, device):
        widen(backbone)
    if profile.layerwise:
        Layerwise(backbone, device, _shelf(checkpoint, dtype, device))
    else:
        backbone.to(device)
    if profile.weights == "fp8" or profile.weights == "int8":
        quantise(backbone, profile.weights)
    source = checkpoint.preset.policy.source
    opened = open_codec(
        place.path,
        choice=codec,
        dtype=codec_dtype(dtype, device),
        allow_pt=allow_pt,
        raw_encode=source is not None and source.raw,
    ).to(device)
    return Networks(
        backbone=backbone,
        codec=TiledCodec(opened, Tiling(rest_on_cpu=device.type != "cpu")) if profile.tiled else opened,
        text_encoder=_text_encoder(checkpoint, device, profile, allow_pt),
        image_encoder=None
        if backbone.config.image_dim is None
        else _image_encoder(checkpoint, device, profile, allow_pt),
        memories=_memories(checkpoint, backbone),
    )


def _memories(checkpoint: Checkpoint, backbone: WanTransformer) -> MemoryNetworks:
    """They compute where the transformer does, in its number format."""
    cam, apm = (checkpoint.parts.get(name) for name in MEMORIES)
    opened = MemoryNetworks(
        cam=None if cam is None else open_cam(cam.path, backbone.config),
        apm=None if apm is None else open_apm(apm.path, backbone.config),
    )
    if needed(backbone.dtype, backbone.device):
        for part in (opened.cam, opened.apm):
            if isinstance(part, nn.Module):
                widen(part)
    return opened.to(backbone.device, backbone.dtype)


def _streaming(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device, profile: Profile, allow_pt: bool
) -> Networks:
    """A StreamingT2V, which knows the plain profile and tiles."""
    if profile.layerwise or profile.weights != "plain":
        raise UserError(
            f"profile {profile.name!r} is not known to {checkpoint.preset.name!r}; use {RESIDENT.name} or tiled"
        )
    unet, codec, text_encoder = open_streaming(checkpoint, dtype=dtype, device=device, allow_pt=allow_pt)
    return Networks(unet, TiledCodec(codec) if profile.tiled else codec, text_encoder)


def _transformer(checkpoint: Checkpoint, dtype: torch.dtype, allow_pt: bool) -> WanTransformer:
    place = checkpoint.part("transformer")
    ema = place.part is None or place.part.ema
    model = WanTransformer.from_pretrained(place.path, torch_dtype=dtype, ema=ema, allow_pt=allow_pt)
    if "lora" in checkpoint.parts:
        adapter = checkpoint.part("lora")
        alpha = None if adapter.part is None else adapter.part.alpha
        read_lora(adapter.path, alpha=alpha, allow_pt=allow_pt).merge_into(model)
    return model


def _shelf(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> Shelf | None:
    """Where blocks wait: in main memory beside a GPU; where there is only a CPU, in the file."""
    if device.type != "cpu":
        return None
    path = checkpoint.part("transformer").path
    if path.suffix in PT_SUFFIXES or "lora" in checkpoint.parts:
        raise UserError(
            f"{checkpoint.preset.name!r} cannot be run block by block from {path}; "
            "`longtake convert` makes a folder of it that can"
        )
    return FileShelf.of(path, dtype)


def _image_encoder(
    checkpoint: Checkpoint, device: torch.device, profile: Profile, allow_pt: bool
) -> ImageEncoder:
    """It reads a take's pictures once, in float32 as published; where memory is short, on the CPU."""
    return ImageEncoder.from_files(
        checkpoint.part("image_encoder").path,
        allow_pt=allow_pt,
        device=device if profile.text_stays else torch.device("cpu"),
    )


def _text_encoder(
    checkpoint: Checkpoint, device: torch.device, profile: Profile, allow_pt: bool
) -> TextEncoder:
    """Off the device means: on the CPU beside a GPU; given back after use where there is only the CPU."""
    weights: Path = checkpoint.part("text_encoder").path
    on_cpu = device.type == "cpu"
    offload: Offload = "after_use" if on_cpu and not profile.text_stays else "never"
    return TextEncoder.from_files(
        weights,
        checkpoint.part("tokenizer").path,
        allow_pt=allow_pt,
        cache=EmbeddingCache(),
        dtype=reading_dtype(_sizes(weights)),
        device=device if profile.text_stays else torch.device("cpu"),
        offload=offload,
    )


def _sizes(weights: Path) -> TextNetwork:
    """Sizes of the text encoder in a folder; a published file is Wan's."""
    return (
        TextNetwork.model_validate(read_json(weights / "config.json")) if weights.is_dir() else TextNetwork()
    )
