"""How much memory a StreamingT2V needs, found from its config alone, on tensors without contents."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from longtake.models.clip_image import ClipImageEncoder
from longtake.models.kl_codec import SD_VAE, KlCodec
from longtake.models.meter import FusedAttention, LiveBytes
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.streaming import StreamingUNet

TEXT_PARAMETERS = 340_387_840
"""Of Stable Diffusion 2's text encoder."""


class StreamingNeed(NamedTuple):
    """Bytes."""

    network: int
    """Weights of the denoising network and both memories."""
    image_encoder: int
    text_encoder: int
    codec: int
    work: int
    """Most that a pass of the network holds beside its weights."""

    @property
    def weights(self) -> int:
        """All weights."""
        return self.network + self.image_encoder + self.text_encoder + self.codec


def streaming_need(
    config: UNetConfig, rows: int, columns: int, dtype: torch.dtype, *, branches: int = 2
) -> StreamingNeed:
    """For clips of `rows` x `columns` latent cells and so many branches of guidance."""
    with torch.device("meta"):
        network = StreamingUNet(config).to(dtype)
    return StreamingNeed(
        network=_bytes(network),
        image_encoder=_bytes(ClipImageEncoder.blank().to(dtype)),
        text_encoder=TEXT_PARAMETERS * dtype.itemsize,
        codec=_bytes(KlCodec.blank(SD_VAE).to(dtype)),
        work=pass_bytes(network, rows, columns, branches),
    )


def pass_bytes(network: StreamingUNet, rows: int, columns: int, branches: int) -> int:
    """The most that one pass with both memories holds, weights not counted; `network` is on the meta device."""
    config, dtype = network.config, network.dtype
    with torch.device("meta"), torch.no_grad():
        text = torch.empty(branches, config.text_tokens, config.cross_attention_dim, dtype=dtype)
        image = torch.empty(branches, config.image_tokens, config.cross_attention_dim, dtype=dtype)
        layers = network.context(text, image).layers
        latents = torch.empty(branches, config.in_channels, config.video_length, rows, columns, dtype=dtype)
        past = config.condition_length
        features = torch.empty(branches, config.block_out_channels[0], past, rows, columns, dtype=dtype)
        timestep = torch.empty(branches)
    there = [*network.parameters(), latents, features, timestep]
    there += [tensor for layer in layers for tensor in layer]
    with torch.no_grad(), LiveBytes(there) as meter, FusedAttention():
        network(latents, timestep, layers, features)
    return meter.peak


def _bytes(module: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())
