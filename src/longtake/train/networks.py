"""What pretraining trains: the transformer and its text encoder as one module with one forward.

Shapes: B samples, S captions a sample, U different captions, F latent frames, L tokens, D text channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from longtake.models.attention import AttentionRule
from longtake.models.text import TextEncoder, Tokens
from longtake.models.wan import WanConfig, WanTransformer
from longtake.train.config import MiniConfig
from longtake.train.crops import Captions
from longtake.train.shown import ShownHead

__all__ = ["Conditions", "Fixed", "Networks", "build_networks", "each"]


class Conditions(NamedTuple):
    """Captions of a batch, each different one read once."""

    tokens: Tokens | Tensor
    """Of the U captions; where the text encoder is not trained, their embeddings `[U, L, D]`."""
    which: Tensor
    """`[B, S]`, index of each caption among the U."""
    segment: Tensor
    """`[B, F]`, which of the S captions each latent frame attends to."""


class Networks(nn.Module):
    """Noisy latents, timesteps and captions to velocity."""

    def __init__(self, transformer: WanTransformer, text: TextEncoder, asked: bool = False) -> None:
        super().__init__()
        self.transformer = transformer
        self.text = text
        self.shown = ShownHead(transformer.config.dim) if asked else None

    def forward(
        self, latents_BCFhw: Tensor, timestep_BF: Tensor, conditions: Conditions, attention: AttentionRule
    ) -> Tensor:
        """Velocity `[B, C, F, h, w]`."""
        text, segment = self._captions(conditions)
        velocity: Tensor = self.transformer(
            latents_BCFhw, timestep_BF, text, attention=attention, segment_BT=segment
        )
        return velocity

    def with_middle(
        self, latents_BCFhw: Tensor, timestep_BF: Tensor, conditions: Conditions, attention: AttentionRule
    ) -> tuple[Tensor, Tensor]:
        """Velocity as `forward` gives it, and the tokens half-way through, `[B, F, N, M]`."""
        net = self.transformer
        text, segment = self._captions(conditions)
        context = net.text_context(text)
        embedding, time = net.condition_embedder(timestep_BF)
        half, depth = len(net.blocks) // 2, len(net.blocks)
        x = net.patchify(latents_BCFhw)
        middle = net.through(range(half), x, time, context, segment, attention)
        x = net.through(range(half, depth), middle, time, context, segment, attention)
        grid = net.config.grid(*latents_BCFhw.shape[-2:])
        return net.unpatchify(net.head(x, embedding), grid), middle

    def _captions(self, conditions: Conditions) -> tuple[Tensor, Tensor | None]:
        """Embeddings `[B, S, L, D]` and, with more than one a sample, which one each frame reads."""
        tokens, which = conditions.tokens, conditions.which
        captions = tokens if isinstance(tokens, Tensor) else self.text(*tokens)
        text = captions.index_select(0, which.flatten()).unflatten(0, which.shape)
        return text, conditions.segment if which.shape[1] > 1 else None

    def conditions(self, captions: Captions) -> Conditions:
        """Read the captions of a batch."""
        different = sorted({text for texts in captions.texts for text in texts})
        place = {text: index for index, text in enumerate(different)}
        which = torch.tensor([[place[text] for text in texts] for texts in captions.texts])
        device = self.transformer.device
        return Conditions(
            self.read(different), which.to(device), torch.from_numpy(captions.segment).to(device)
        )

    def read(self, captions: Sequence[str]) -> Tokens | Tensor:
        """What `forward` takes for these captions."""
        return self.text.tokenize(captions)


def build_networks(config: MiniConfig, latent_channels: int, words: Iterable[str]) -> Networks:
    """New networks; their weights follow from `config.seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        text = TextEncoder.small(words, **config.words.model_dump(exclude={"lessons"}))
        sizes = config.transformer.model_dump()
        transformer = WanTransformer(
            WanConfig(**sizes, in_channels=latent_channels, out_channels=latent_channels, text_dim=text.dim)
        )
        initialise(transformer)
        networks = Networks(transformer, text, asked=config.shown > 0)
    return networks


@torch.no_grad()
def initialise(transformer: WanTransformer) -> None:
    """Wan's start: Xavier matrices, small embedders, zero biases, and a head that predicts zero."""
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(transformer.patch_embedding.weight.flatten(1))
    for embedder in (
        transformer.condition_embedder.time_embedder,
        transformer.condition_embedder.text_embedder,
    ):
        nn.init.normal_(embedder.linear_1.weight, std=0.02)
        nn.init.normal_(embedder.linear_2.weight, std=0.02)
    nn.init.zeros_(transformer.proj_out.weight)


class Fixed(nn.Module):
    """A network under other weights."""

    def __init__(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._call = lambda *inputs: functional_call(network, dict(weights), inputs)

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """As the network's."""
        out: Tensor = self._call(*inputs)
        return out


def each(values: np.ndarray, like: Tensor) -> Tensor:
    """One number a sample, to be broadcast over `like [B, C, F, h, w]`."""
    return torch.from_numpy(np.asarray(values)).to(like)[:, None, None, None, None]
