"""What a recipe of the memories trains, beside the transformer that it leaves alone."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from longtake.models.streaming.apm import ApmNetwork
from longtake.models.streaming.cam import ShortTerm
from longtake.models.streaming.networks import MemoryNetworks, apm_config, cam_config, short_term
from longtake.models.wan import WanTransformer
from longtake.train.memories.config import MemoryRecipe


class Remembering(nn.Module):
    """A frozen transformer with its memories; one forward."""

    def __init__(self, transformer: WanTransformer, cam: ShortTerm, apm: ApmNetwork | None) -> None:
        super().__init__()
        self.transformer = transformer.requires_grad_(False)
        self.cam = cast(nn.Module, cam).requires_grad_(True)
        self.apm = None if apm is None else apm.requires_grad_(True)

    @property
    def memories(self) -> MemoryNetworks:
        """The memories alone."""
        return MemoryNetworks(cam=cast(ShortTerm, self.cam), apm=self.apm)

    @property
    def shown(self) -> int:
        """Latent frames of a clip that show the past again, P: what its short-term memory was made for."""
        return cast(ShortTerm, self.cam).config.frames

    def forward(
        self,
        noisy: Tensor,
        timestep_BT: Tensor,
        rows: Tensor,
        past: Tensor | None,
        anchor: Tensor | None,
    ) -> Tensor:
        """Velocity `[B, C, T, h, w]`.

        rows: of the prompts, `[B, L, D]`. past: `[B, C, P, h, w]`. anchor: latents `[B, C, h, w]`. None leaves a
        memory out.
        """
        text = rows
        if self.apm is not None and anchor is not None:
            tokens = self.apm.tokens(self.apm.embed(anchor))
            text = self.apm.context(self.transformer, rows, tokens)  # type: ignore[assignment]
        if past is None:
            velocity: Tensor = self.transformer(noisy, timestep_BT, text)
            return velocity
        cam = cast(ShortTerm, self.cam)
        return cam.predict(self.transformer, noisy, timestep_BT, text, cam.encode(past))


def fresh(
    recipe: MemoryRecipe, transformer: WanTransformer, text_tokens: int, given: ShortTerm | None
) -> Remembering:
    """The networks at the beginning of a run; weights follow from the recipe's seed.

    given: the short-term memory that long-term memory is trained beside.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        cam = given
        if cam is None:
            sizes = cam_config(transformer.config, clip=recipe.clip, **recipe.cam.model_dump())
            cam = short_term(sizes)
            cam.begin_from(transformer)
        apm = None
        if recipe.kind == "apm":
            sizes_of_apm = recipe.apm.model_dump(exclude={"alpha", "gain"})
            apm = ApmNetwork(apm_config(transformer.config, text_tokens=text_tokens, **sizes_of_apm))
            apm.begin_at(recipe.apm.alpha, recipe.apm.gain)
    return Remembering(transformer, cam, apm)
