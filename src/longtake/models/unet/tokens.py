"""Long-term memory's own network (APM, arXiv 2403.14773): an image's embedding becomes tokens beside the text's."""

from __future__ import annotations

from torch import Tensor, nn

from longtake.models.unet.config import UNetConfig


class TokenExpander(nn.Module):
    """`Linear, SiLU, Linear`, cut into tokens."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.tokens = config.image_tokens
        self.context_embedding = nn.Sequential(
            nn.Linear(config.image_embedding_dim, config.token_hidden_dim),
            nn.SiLU(),
            nn.Linear(config.token_hidden_dim, config.image_tokens * config.cross_attention_dim),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """`[B, E]` → `[B, I, C]`."""
        out: Tensor = self.context_embedding(embedding).unflatten(-1, (self.tokens, -1))
        return out
