"""Long-term memory of a transformer (APM, arXiv 2403.14773): an anchor becomes tokens mixed into the prompt's.

As published, a picture's embedding is expanded to tokens, and in every cross-attention a convolution over all tokens,
sliding along their channels, makes as many rows as the prompt has; they are normed and added with the weight SiLU(α),
α being 0 to begin with. What differs: the picture encoder is a small one over the codec's latents of the picture (the
published one is CLIP's), trained with the rest.

Shapes: N pictures, C latent channels, h w latent cells, E numbers of an embedding, M channels, I image and L text
tokens.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.attention import KeyValue
from longtake.models.streaming.config import ApmConfig
from longtake.models.wan import TextContext, WanBlock, WanTransformer


class PictureEncoder(nn.Module):
    """Latents of pictures `[N, C, h, w]` to embeddings `[N, E]`, at any size."""

    def __init__(self, config: ApmConfig) -> None:
        super().__init__()
        width = config.width
        self.pool = config.pool
        self.conv_in = nn.Conv2d(config.channels, width, 3, padding=1)
        self.conv_mid = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(config.embedding_dim)

    def forward(self, latents: Tensor) -> Tensor:
        """See the class."""
        x = F.silu(self.conv_in(latents))
        x = x + F.silu(self.conv_mid(x))
        x = F.silu(self.conv_out(x))
        embedding: Tensor = self.norm(F.adaptive_avg_pool2d(x, self.pool).flatten(1))
        return embedding


class Mixing(nn.Module):
    """A layer's own mix of text and image tokens."""

    def __init__(self, config: ApmConfig) -> None:
        super().__init__()
        tokens = config.text_tokens + config.image_tokens
        self.conv = nn.Conv1d(tokens, config.text_tokens, 3, padding=1)
        self.norm = nn.LayerNorm(config.dim)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        """`[B, L, M]` and `[B, I, M]` → `[B, L, M]` (equation 6 of the paper)."""
        mixed = self.norm(self.conv(torch.cat([text, image], 1)))
        return text + F.silu(self.alpha) * mixed


class ApmNetwork(nn.Module):
    """Picture encoder, tokens, and the mixing of every layer."""

    def __init__(self, config: ApmConfig) -> None:
        super().__init__()
        self.config = config
        self.picture_encoder = PictureEncoder(config)
        self.expand_in = nn.Linear(config.embedding_dim, config.hidden)
        self.expand_out = nn.Linear(config.hidden, config.image_tokens * config.dim)
        self.mixings = nn.ModuleList(Mixing(config) for _ in range(config.layers))

    @torch.no_grad()
    def begin_at(self, alpha: float, gain: float) -> None:
        """Set the α of every mixing and the weight of its norm, for training."""
        for mixing in cast(list[Mixing], self.mixings):
            mixing.alpha.fill_(alpha)
            mixing.norm.weight.fill_(gain)

    def embed(self, latents: Tensor) -> Tensor:
        """Embeddings `[N, E]` of pictures, each encoded by the codec as a first frame, `[N, C, h, w]`."""
        embedding: Tensor = self.picture_encoder(latents)
        return embedding

    def tokens(self, embeddings: Tensor) -> Tensor:
        """`[B, E]` → `[B, I, M]`."""
        expanded = self.expand_out(F.silu(self.expand_in(embeddings)))
        return cast(Tensor, expanded).unflatten(-1, (self.config.image_tokens, -1))

    def context(self, backbone: WanTransformer, rows: Tensor, image: Tensor) -> TextContext:
        """Keys and values of every layer for prompts `rows [B, L, text_dim]` mixed with tokens `[B, I, M]`.

        Raises UserError for another text length than it was trained with.
        """
        if rows.shape[1] != self.config.text_tokens:
            raise UserError(
                f"the text encoder gives {rows.shape[1]} rows a prompt, the long-term memory mixes "
                f"{self.config.text_tokens}; use the model that it was trained with"
            )
        embedder = backbone.condition_embedder.text_embedder
        text = embedder(rows.to(backbone.device, backbone.dtype))
        image = image.to(backbone.device, backbone.dtype)
        layers = zip(self.mixings, backbone.blocks, strict=True)
        return TextContext(
            tuple(_key_value(cast(WanBlock, block), mix(text, image)) for mix, block in layers)
        )


def _key_value(block: WanBlock, text: Tensor) -> KeyValue:
    """Keys and values `[B, 1, L, H, D]` of one caption each."""
    return block.attn2.key_value(text[:, None])
