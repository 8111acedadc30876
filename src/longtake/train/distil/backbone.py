"""A transformer whose prompts are embedded by an encoder that is not trained: student, teacher and critic alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from longtake.models.text import TextEncoder
from longtake.models.wan import WanTransformer
from longtake.train.networks import Networks

__all__ = ["Backbone", "Prompts"]

KEPT = 2048


class Prompts:
    """Embeddings of prompts, the latest ones kept."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """`[U, L, D]` of U prompts."""
        return torch.cat([self._one(prompt) for prompt in prompts])

    def _one(self, prompt: str) -> Tensor:
        if prompt not in self._kept:
            self._kept[prompt] = self.encoder.encode([prompt])
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(prompt)
        return self._kept[prompt]


class Backbone(Networks):
    """`Networks` without a text encoder of its own; its parameters are the transformer's."""

    def __init__(self, transformer: WanTransformer, prompts: Prompts) -> None:
        nn.Module.__init__(self)
        self.transformer = transformer
        self.prompts = prompts

    def read(self, captions: Sequence[str]) -> Tensor:
        """Embeddings `[U, L, D]`."""
        return self.prompts(captions).to(self.transformer.device)
