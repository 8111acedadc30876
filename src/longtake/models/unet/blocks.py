"""The 3-D UNet itself, of diffusers' blocks: its encoder half, and the whole.

Published as ModelScope's text-to-video (arXiv 2308.06571) and zeroscope; parameters carry the names of diffusers'
`UNet3DConditionModel`, and the result is the same.

Shapes: B videos, T frames, C channels, H W latent cells; inside, frames are in the batch: `[B·T, C, H, W]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from longtake.models.attention import KeyValue
from longtake.models.unet.attention import cross_attentions, keys_and_values
from longtake.models.unet.config import UNetConfig

ENCODER = ("conv_in", "time_proj", "time_embedding", "transformer_in", "down_blocks", "mid_block")
DECODER = ("up_blocks", "conv_norm_out", "conv_act", "conv_out")


class Encoded(NamedTuple):
    """What the encoder half leaves to the decoder half."""

    skips: tuple[Tensor, ...]
    """From the first convolution to the deepest level, each `[B·T, C, H, W]`."""
    deepest: Tensor
    """What the middle block made of the last of them."""
    time: Tensor
    """`[B·T, 4·C]`, the timestep as the blocks read it."""


class UNetEncoder(nn.Module):
    """The way down and the middle block."""

    conv_in: nn.Module
    time_proj: nn.Module
    time_embedding: nn.Module
    transformer_in: Any
    down_blocks: Any
    mid_block: Any

    parts: Sequence[str] = ENCODER

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        from diffusers import UNet3DConditionModel

        stock = UNet3DConditionModel(**config.stock)
        for name in self.parts:
            self.add_module(name, getattr(stock, name))
        self.cross_attentions = cross_attentions(self._blocks())

    def _blocks(self) -> list[nn.Module]:
        return [*self.down_blocks, self.mid_block]

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return next(self.parameters()).dtype

    def context(self, rows: Tensor) -> tuple[KeyValue, ...]:
        """Each layer's keys and values of the text `[B, L, C]`."""
        return tuple(keys_and_values(attention, rows) for attention in self.cross_attentions)

    def encode(
        self,
        latents: Tensor,
        timestep: Tensor,
        context: Sequence[KeyValue],
        added: Tensor | None = None,
    ) -> Encoded:
        """`latents [B, C, T, H, W]`, `timestep [B]`; `added [B·T, C, H, W]` joins behind the first layers."""
        frames = latents.shape[2]
        time = self.time_embedding(self.time_proj(timestep).to(self.dtype)).repeat_interleave(frames, dim=0)
        x = self.conv_in(to_frames(latents))
        x = self.transformer_in(x, num_frames=frames).sample
        x = x if added is None else x + added
        skips = [x]
        for block in self.down_blocks:
            x, outputs = block(x, time, num_frames=frames, **_text(block, context))
            skips += outputs
        deepest = self.mid_block(x, time, encoder_hidden_states=context, num_frames=frames)
        return Encoded(tuple(skips), deepest, time)


class UNet(UNetEncoder):
    """The whole network, plain."""

    up_blocks: Any
    conv_norm_out: nn.Module
    conv_act: nn.Module
    conv_out: nn.Module

    parts = ENCODER + DECODER

    def _blocks(self) -> list[nn.Module]:
        return [*super()._blocks(), *self.up_blocks]

    def forward(self, latents: Tensor, timestep: Tensor, context: Sequence[KeyValue]) -> Tensor:
        """What it predicts for `latents [B, C, T, H, W]` at `timestep [B]` under `context(text)`."""
        return self.decode(self.encode(latents, timestep, context), latents.shape[2], context)

    def decode(self, encoded: Encoded, frames: int, context: Sequence[KeyValue]) -> Tensor:
        """The way up: `[B, C, T, H, W]`."""
        skips, x = list(encoded.skips), encoded.deepest
        for block in self.up_blocks:
            own = tuple(skips[-len(block.resnets) :])
            del skips[-len(block.resnets) :]
            x = block(
                x,
                res_hidden_states_tuple=own,
                temb=encoded.time,
                upsample_size=skips[-1].shape[2:] if skips else None,
                num_frames=frames,
                **_text(block, context),
            )
        return to_video(self.conv_out(self.conv_act(self.conv_norm_out(x))), frames)


def _text(block: nn.Module, context: Sequence[KeyValue]) -> dict[str, Any]:
    """The text, for blocks that read it."""
    return {"encoder_hidden_states": context} if getattr(block, "has_cross_attention", False) else {}


def to_frames(video: Tensor) -> Tensor:
    """`[B, C, T, H, W]` → `[B·T, C, H, W]`."""
    return video.transpose(1, 2).flatten(0, 1)


def to_video(x: Tensor, frames: int) -> Tensor:
    """`[B·T, C, H, W]` → `[B, C, T, H, W]`."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)
