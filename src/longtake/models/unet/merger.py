"""Where short-term memory joins the network: attention across time from a clip to the frames before it.

One for every skip connection and one behind the middle block (arXiv 2403.14773, equations 4 and 5). Each latent cell
attends by itself; there is no position, so the order of the earlier frames plays no part here.

Shapes: B videos, T frames of the clip, P earlier frames, C channels, H W latent cells.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from longtake.models.unet.blocks import to_frames, to_video


class TemporalTransformer(nn.Module):
    """Norm, projection, one cross-attention, projection; no part of the video until it is trained."""

    def __init__(self, channels: int, head_dim: int, groups: int) -> None:
        super().__init__()
        from diffusers.models.attention_processor import Attention

        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.attention: Any = Attention(query_dim=channels, heads=channels // head_dim, dim_head=head_dim)
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, clip: Tensor, past: Tensor) -> Tensor:
        """What `clip [B, C, T, H, W]` gains from `past [B, C, P, H, W]`."""
        queries = self.proj_in(_cells(self.norm(clip)))
        earlier = _cells(past)
        heads = (self.attention.heads, -1)
        q = self.attention.to_q(queries).unflatten(-1, heads).transpose(1, 2)
        k = self.attention.to_k(earlier).unflatten(-1, heads).transpose(1, 2)
        v = self.attention.to_v(earlier).unflatten(-1, heads).transpose(1, 2)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        gained: Tensor = self.proj_out(self.attention.to_out[0](seen))
        batch, _, _, height, width = clip.shape
        return gained.view(batch, height, width, *gained.shape[1:]).permute(0, 4, 3, 1, 2)


class Merger(nn.Module):
    """A skip connection with short-term memory: `x + attention(x, past)`."""

    def __init__(self, channels: int, head_dim: int, groups: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels, head_dim, groups)

    def forward(self, x: Tensor, past: Tensor, frames: int, past_frames: int) -> Tensor:
        """`x [B·T, C, H, W]`, `past [B·P, C, H, W]` → as x."""
        gained = self.temporal_transformer(to_video(x, frames), to_video(past, past_frames))
        return x + to_frames(gained)


def _cells(video: Tensor) -> Tensor:
    """`[B, C, T, H, W]` → `[B·H·W, T, C]`: time as the sequence of each cell."""
    return video.permute(0, 3, 4, 2, 1).flatten(0, 2)
