"""What short-term memory makes of the frames before a clip: features that the transformer's blocks attend to.

Each block is one of the transformer's at timestep 0 and without its text: what modulation makes of a clean frame is a
constant there, so it becomes norm and gate of the block's own. As training begins it computes just that
(`begin_from`), as the published memory begins as a copy of the network's encoder half.

Shapes: B clips, P frames before, C latent channels, N tokens a frame, M channels, gh gw rows and columns of tokens.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from longtake.models.attention import Grid, WholeClip
from longtake.models.streaming.config import CamConfig
from longtake.models.wan import WanBlock, WanTransformer
from longtake.models.wan_layers import FeedForward, RMSNorm


class EncoderBlock(nn.Module):
    """Self-attention over the frames before, feed-forward."""

    def __init__(self, config: CamConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(dim, config.eps)
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_q, self.norm_k = (RMSNorm(dim, eps=config.eps) for _ in range(2))
        self.to_out = nn.Linear(dim, dim)
        self.gate1 = nn.Parameter(torch.ones(dim))
        self.norm2 = nn.LayerNorm(dim, config.eps)
        self.ffn = FeedForward(dim, config.ffn_dim, dim)
        self.gate2 = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor, rule: WholeClip) -> Tensor:
        """`[B, S, M]` → the same."""
        y = self.norm1(x)
        q, k, v = self.norm_q(self.to_q(y)), self.norm_k(self.to_k(y)), self.to_v(y)
        seen = rule(0, *(part.unflatten(-1, (self.heads, -1)) for part in (q, k, v))).flatten(2)
        x = x + self.gate1 * self.to_out(seen)
        return x + self.gate2 * self.ffn(self.norm2(x))

    @torch.no_grad()
    def begin_from(self, block: WanBlock, time: Tensor) -> None:
        """Compute what `block` does for a clean frame. time: the projection of timestep 0, `[6, M]`."""
        table = block.scale_shift_table[0] + time
        for norm, gate, (shift, scale, by) in (
            (self.norm1, self.gate1, table[:3]),
            (self.norm2, self.gate2, table[3:]),
        ):
            norm.weight.copy_(1 + scale)
            norm.bias.copy_(shift)
            gate.copy_(by)
        own = block.attn1
        for mine, theirs in ((self.to_q, own.to_q), (self.to_k, own.to_k), (self.to_v, own.to_v)):
            mine.load_state_dict(theirs.state_dict())
        self.norm_q.load_state_dict(own.norm_q.state_dict())
        self.norm_k.load_state_dict(own.norm_k.state_dict())
        self.to_out.load_state_dict(own.to_out[0].state_dict())
        self.ffn.load_state_dict(block.ffn.state_dict())


class LatentEncoder(nn.Module):
    """Clean latents of the frames before a clip, `[B, C, P, h, w]`, to features `[B, M, P, gh, gw]`."""

    def __init__(self, config: CamConfig) -> None:
        super().__init__()
        patch = config.patch_size
        self.patch_embedding = nn.Conv3d(config.channels, config.dim, patch, stride=patch)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.encoder_layers))
        self.norm_out = nn.LayerNorm(config.dim, config.eps)

    def forward(self, latents: Tensor) -> Tensor:
        """See the class."""
        x: Tensor = self.patch_embedding(latents)
        frames, grid = x.shape[2], Grid(*x.shape[3:])
        rule = WholeClip(grid=grid, positions=tuple(range(frames)))
        tokens = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, rule)
        return self.norm_out(tokens).transpose(1, 2).unflatten(2, (frames, *grid))

    @torch.no_grad()
    def begin_from(self, backbone: WanTransformer) -> None:
        """Begin as the transformer's first blocks see clean frames."""
        self.patch_embedding.load_state_dict(backbone.patch_embedding.state_dict())
        zero = torch.zeros(1, 1, device=backbone.device)
        _, time = backbone.condition_embedder(zero)
        for own, block in zip(self.blocks, backbone.blocks, strict=False):
            cast(EncoderBlock, own).begin_from(cast(WanBlock, block), time[0, 0])
