"""Short-term memory's own network (CAM, arXiv 2403.14773): the frames before a clip, seen at the clip's noise level.

An encoder of pixel frames, and a copy of the UNet's encoder half that reads the first noisy frames of the clip together
with them. What it computes goes into the skip connections of the denoising network, never into its encoder.

Shapes: B videos, P earlier frames, C channels, H W pixels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from longtake.models.attention import KeyValue
from longtake.models.unet.blocks import Encoded, UNetEncoder, to_frames
from longtake.models.unet.config import UNetConfig


class FrameEncoder(nn.Module):
    """Pixel frames to the channels and size of the UNet's first layer; nothing until it is trained."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        first, *_ = widths = config.condition_channels
        self.conv_in = nn.Conv2d(3, first, 3, padding=1)
        steps = [pair for a, b in pairwise(widths) for pair in ((a, a, 1), (a, b, 2))]
        self.blocks = nn.ModuleList(nn.Conv2d(a, b, 3, stride=s, padding=1) for a, b, s in steps)
        self.norms = nn.ModuleList(nn.LayerNorm(b) for _, b, _ in steps if config.condition_norm)
        self.conv_out = nn.Conv2d(widths[-1], config.block_out_channels[0], 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        if self.conv_out.bias is not None:
            nn.init.zeros_(self.conv_out.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """`[N, 3, H, W]` in −1…1 → `[N, C, h, w]`."""
        x = F.silu(self.conv_in(frames))
        for index, block in enumerate(self.blocks):
            x = block(x)
            if self.norms:
                x = self.norms[index](x.movedim(1, -1)).movedim(-1, 1)
            x = F.silu(x)
        out: Tensor = self.conv_out(x)
        return out


class ConditionEncoder(UNetEncoder):
    """The copy of the encoder half, with weights of its own."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        self.controlnet_cond_embedding = FrameEncoder(config)

    def forward(
        self, latents: Tensor, timestep: Tensor, context: Sequence[KeyValue], features: Tensor
    ) -> Encoded:
        """`latents [B, C, P, h, w]` noisy, `features [B, C, P, h, w]` of the frames before → what the mergers read."""
        return self.encode(latents, timestep, context, to_frames(features))
