"""Short-term memory of a transformer (CAM, arXiv 2403.14773): later blocks attend to the frames before a clip.

The published memory gives a UNet's skip connections a cross-attention; its authors did the same to a transformer by
letting its later blocks attend to the chunk before. Here a chosen block's self-attention is followed by one more
attention, of its own queries to features of the last clean latent frames, beside what the block sees of the clip (as
IP-Adapter puts pictures beside text, arXiv 2308.06721). The frames before stand where the clip shows them again. The
last projection is zero to begin with, so that the transformer computes what it did without.

Shapes: B clips, T frames of the clip, P frames before it, C latent channels, M channels, H heads, D head channels,
S tokens of the clip, gh gw rows and columns of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from longtake.models.attention import AttentionRule, Grid, KeyValue, WholeClip, attend, rotary, rotate
from longtake.models.streaming.config import CamConfig
from longtake.models.streaming.encoder import LatentEncoder
from longtake.models.wan import TextContext, WanBlock, WanTransformer
from longtake.models.wan_layers import RMSNorm


class ShortTerm(Protocol):
    """A network of short-term memory, whatever way it enters the transformer."""

    config: CamConfig

    def encode(self, latents: Tensor) -> Tensor:
        """Clean latents `[B, C, P, h, w]` of the frames before → features `[B, …, P, …]`, once a clip."""
        ...

    def predict(
        self,
        backbone: WanTransformer,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor | TextContext,
        features: Tensor,
    ) -> Tensor:
        """Velocity of `latents [B, C, T, h, w]` at `timestep [B, T]`, with what is remembered."""
        ...

    def begin_from(self, backbone: WanTransformer) -> None:
        """Set what is not zero to what the transformer's own weights say, as training begins."""
        ...


class CamLayer(nn.Module):
    """One block's attention to the frames before."""

    def __init__(self, config: CamConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_k = RMSNorm(dim, eps=config.eps)
        self.to_out = nn.Linear(dim, dim)
        nn.init.eye_(self.to_q.weight)
        nn.init.zeros_(self.to_q.bias)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def key_value(self, features: Tensor) -> KeyValue:
        """Of features `[B, P·N, M]`."""
        heads = (self.heads, -1)
        k, v = self.norm_k(self.to_k(features)), self.to_v(features)
        return KeyValue(k.unflatten(-1, heads), v.unflatten(-1, heads))

    def forward(self, q: Tensor, past: KeyValue, own: Tensor, before: Tensor) -> Tensor:
        """What the block's queries `[B, S, H, D]` gain. own, before: rotations of the clip's and the past's tokens."""
        query = self.to_q(q.flatten(2)).unflatten(-1, (self.heads, -1))
        seen = attend(rotate(query, own), rotate(past.k, before), past.v)
        return self.to_out(seen.flatten(2)).view_as(q)

    @torch.no_grad()
    def begin_from(self, block: WanBlock) -> None:
        """Read the past with the block's own keys and values."""
        own = block.attn1
        self.to_k.load_state_dict(own.to_k.state_dict())
        self.to_v.load_state_dict(own.to_v.state_dict())
        self.norm_k.load_state_dict(own.norm_k.state_dict())


@dataclass(frozen=True, slots=True)
class Remembering:
    """An `AttentionRule`: another rule, and in some layers what they gain from the frames before."""

    rule: AttentionRule
    network: AttendingCam
    past: Tensor
    """Features `[B, P·N, M]`."""
    own: Tensor
    """Rotations of the clip's tokens."""
    before: Tensor
    """Rotations of the past's tokens."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen = self.rule(layer, q, k, v)
        reader = self.network.reader(layer)
        if reader is None:
            return seen
        return seen + reader(q, reader.key_value(self.past), self.own, self.before)


class AttendingCam(nn.Module):
    """A `ShortTerm`, as published: cross-attention."""

    def __init__(self, config: CamConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = LatentEncoder(config)
        self.layers = nn.ModuleDict({str(layer): CamLayer(config) for layer in config.layers})

    def reader(self, layer: int) -> CamLayer | None:
        """What this block of the transformer reads the memory with."""
        return cast(CamLayer, self.layers[str(layer)]) if str(layer) in self.layers else None

    def encode(self, latents: Tensor) -> Tensor:
        """See `ShortTerm.encode`: `[B, M, P, gh, gw]`."""
        features: Tensor = self.encoder(latents)
        return features

    def predict(
        self,
        backbone: WanTransformer,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor | TextContext,
        features: Tensor,
    ) -> Tensor:
        """See `ShortTerm.predict`. Frame p of the past stands at the place of the clip's frame p."""
        grid = Grid(*features.shape[3:])
        frames, past = latents.shape[2], features.shape[2]
        width, device = backbone.config.attention_head_dim, features.device
        positions = tuple(range(frames))
        rule = Remembering(
            rule=WholeClip(grid=grid, positions=positions),
            network=self,
            past=features.flatten(2).transpose(1, 2),
            own=rotary(positions, grid, width, device),
            before=rotary(tuple(range(past)), grid, width, device),
        )
        velocity: Tensor = backbone(latents, timestep, text, attention=rule)
        return velocity

    def begin_from(self, backbone: WanTransformer) -> None:
        """See `ShortTerm.begin_from`."""
        self.encoder.begin_from(backbone)
        for layer in self.config.layers:
            cast(CamLayer, self.layers[str(layer)]).begin_from(cast(WanBlock, backbone.blocks[layer]))
