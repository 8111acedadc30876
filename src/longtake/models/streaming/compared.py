"""What the paper compares its short-term memory with (arXiv 2403.14773, Add-Cond and Conc-Cond), same size of inputs.

Adding: features of the frames before are projected and added to those of the clip's first frames, in the same blocks
that would attend to them. Concatenating: their latents, and a mask of where there are any, are further channels of the
network's input. Both are zero to begin with; shapes as in `cam.py`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.models.attention import AttentionRule, Grid, WholeClip
from longtake.models.streaming.config import CamConfig
from longtake.models.streaming.encoder import LatentEncoder
from longtake.models.wan import TextContext, WanTransformer


@dataclass(frozen=True, slots=True)
class _Added:
    """An `AttentionRule`: another rule, and in some layers what is added to the first tokens."""

    rule: AttentionRule
    network: AddingCam
    past: Tensor
    """Features `[B, P·N, M]`."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen = self.rule(layer, q, k, v)
        if str(layer) not in self.network.layers:
            return seen
        added = self.network.layers[str(layer)](self.past)
        missing = q.shape[1] - added.shape[1]
        return seen + F.pad(added, (0, 0, 0, missing)).view_as(seen)


class AddingCam(nn.Module):
    """A `ShortTerm` that adds."""

    def __init__(self, config: CamConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = LatentEncoder(config)
        self.layers = nn.ModuleDict({str(n): nn.Linear(config.dim, config.dim) for n in config.layers})
        for layer in self.layers.values():
            _zero(cast(nn.Linear, layer))

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
        """See `ShortTerm.predict`."""
        whole = WholeClip(grid=Grid(*features.shape[3:]), positions=tuple(range(latents.shape[2])))
        rule = _Added(whole, self, features.flatten(2).transpose(1, 2))
        velocity: Tensor = backbone(latents, timestep, text, attention=rule)
        return velocity

    def begin_from(self, backbone: WanTransformer) -> None:
        """See `ShortTerm.begin_from`."""
        self.encoder.begin_from(backbone)


class ConcatenatingCam(nn.Module):
    """A `ShortTerm` of further channels; it has no encoder."""

    def __init__(self, config: CamConfig) -> None:
        super().__init__()
        self.config = config
        patch = config.patch_size
        self.patch_embedding = nn.Conv3d(config.channels + 1, config.dim, patch, stride=patch)
        _zero(self.patch_embedding)

    def encode(self, latents: Tensor) -> Tensor:
        """See `ShortTerm.encode`: the latents themselves and a mask, `[B, C + 1, P, h, w]`."""
        return torch.cat([latents, torch.ones_like(latents[:, :1])], 1)

    def predict(
        self,
        backbone: WanTransformer,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor | TextContext,
        features: Tensor,
    ) -> Tensor:
        """See `ShortTerm.predict`."""
        beside = F.pad(features, (0, 0, 0, 0, 0, latents.shape[2] - features.shape[2]))
        velocity: Tensor = self._widened(backbone)(torch.cat([latents, beside], 1), timestep, text)
        return velocity

    def begin_from(self, backbone: WanTransformer) -> None:
        """See `ShortTerm.begin_from`. Everything is zero, so there is nothing to set."""

    def _widened(self, backbone: WanTransformer) -> WanTransformer:
        """The same transformer with further input channels; every weight is shared."""
        other = copy(backbone)
        other.__dict__["_modules"] = dict(backbone._modules)
        other.patch_embedding = cast(nn.Conv3d, _Wider(backbone.patch_embedding, self.patch_embedding))
        return other


class _Wider(nn.Module):
    """Two embeddings of different channels of the same input, added."""

    def __init__(self, own: nn.Conv3d, further: nn.Conv3d) -> None:
        super().__init__()
        self.own, self.further = own, further

    def forward(self, x: Tensor) -> Tensor:
        channels = self.own.in_channels
        embedded: Tensor = self.own(x[:, :channels]) + self.further(x[:, channels:])
        return embedded


def _zero(layer: nn.Linear | nn.Conv3d) -> None:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
