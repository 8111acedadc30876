"""The learned part of the patch codec: what convolutions add to the closed-form picture.

Two stages. On the latent grid, residual blocks look at a latent frame and, through a temporal cache, at the
one before it; on a finer grid, light convolutions per pixel frame see those features beside the closed-form
picture itself and the picture before it, and write a correction to it. The last convolution starts at zero,
so an untrained decoder shows exactly the closed form.

Residual blocks without normalisation follow EDSR (Lim et al. 2017); the sub-pixel layout follows ESPCN (Shi
et al. 2016).

Shapes: B batch, F latent frames, T pixel frames, C latent channels, h w latent cells, D features, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CausalConv", "PatchDecoder"]


class CausalConv(nn.Module):
    """A 3x3 convolution over each latent frame and the one before it: kernel 2x3x3 in time, rows, columns."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * channels_in, channels_out, 3, padding=1)

    def forward(self, x_BFDhw: Tensor, before_BDhw: Tensor) -> Tensor:
        past = torch.cat([before_BDhw.unsqueeze(1), x_BFDhw[:, :-1]], dim=1)
        pairs = torch.cat([past, x_BFDhw], dim=2)
        return self.conv(pairs.flatten(0, 1)).unflatten(0, pairs.shape[:2])


class _Block(nn.Module):
    """A residual block whose first convolution looks one latent frame back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.causal = CausalConv(width, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BFDhw: Tensor, before_BDhw: Tensor) -> Tensor:
        y = F.silu(self.causal(x_BFDhw, before_BDhw))
        return x_BFDhw + self.conv(y.flatten(0, 1)).unflatten(0, x_BFDhw.shape[:2])


class _Detail(nn.Module):
    """Light convolutions per pixel frame on the fine grid; the last one starts at zero."""

    def __init__(self, channels_in: int, width: int, channels_out: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels_in, width, 3, padding=1)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, channels_out, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x_NDhw: Tensor) -> Tensor:
        x = F.relu(self.conv_in(x_NDhw))
        x = x + self.conv2(F.relu(self.conv1(x)))
        return self.conv_out(F.relu(x))


class PatchDecoder(nn.Module):
    """Corrects closed-form pictures; the sizes are those of `PatchCodecConfig`."""

    def __init__(
        self,
        *,
        latent_channels: int,
        spatial_stride: int,
        temporal_stride: int,
        width: int,
        num_blocks: int,
        detail_channels: int,
        detail_width: int,
        detail_scale: int,
    ) -> None:
        super().__init__()
        self.num_blocks = num_blocks
        self.temporal_stride = temporal_stride
        self.detail_scale = detail_scale
        self.expansion = spatial_stride // detail_scale
        fine = detail_channels * self.expansion**2
        pixels = 3 * detail_scale**2
        self.stem_first = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.stem_later = CausalConv(latent_channels, width)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(num_blocks)])
        self.expand_first = nn.Conv2d(width, fine, 1)
        self.expand_later = nn.Conv2d(width, fine * temporal_stride, 1)
        self.detail = _Detail(detail_channels + 2 * pixels, detail_width, pixels)

    def forward(
        self, latents_BFChw: Tensor, coarse_BT3HW: Tensor, history: list[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Correct the pictures of some latent frames.

        `history` is None for the very first latent frame, which must come alone (F = T = 1), and afterwards
        what the last call returned. Returns the corrected pictures, shaped like `coarse_BT3HW`, and the new
        history.
        """
        batch, num_latents = latents_BFChw.shape[:2]
        is_first = history is None
        x = self._stem(latents_BFChw, history)
        befores = [torch.zeros_like(x[:, 0])] * self.num_blocks if history is None else history[1:-1]
        remembered = [latents_BFChw[:, -1]]
        for block, before in zip(self.blocks, befores, strict=True):
            remembered.append(x[:, -1])
            x = block(x, before)
        num_frames = 1 if is_first else num_latents * self.temporal_stride
        expand = self.expand_first if is_first else self.expand_later
        features = expand(F.silu(x).flatten(0, 1)).reshape(batch * num_frames, -1, *x.shape[-2:])
        fine = F.pixel_shuffle(features, self.expansion)
        coarse = F.pixel_unshuffle(coarse_BT3HW, self.detail_scale)
        before = coarse[:, 0] if history is None else history[-1]
        past = torch.cat([before.unsqueeze(1), coarse[:, :-1]], dim=1)
        remembered.append(coarse[:, -1])
        seen = torch.cat([fine, coarse.flatten(0, 1), past.flatten(0, 1)], dim=1)
        correction = F.pixel_shuffle(self.detail(seen), self.detail_scale)
        return coarse_BT3HW + correction.unflatten(0, (batch, num_frames)), remembered

    def _stem(self, latents_BFChw: Tensor, history: list[Tensor] | None) -> Tensor:
        if history is None:
            return self.stem_first(latents_BFChw[:, 0]).unsqueeze(1)
        return self.stem_later(latents_BFChw, history[0])
