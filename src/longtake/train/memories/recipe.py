"""The recipe of StreamingT2V's memories (arXiv 2403.14773, section 10): CAM, then APM together with it.

Flow matching on clips whose first frames are known to the memory: `x = (1−σ)·clean + σ·noise`, one σ a clip, target
`noise − clean` on all frames, led by guidance where the recipe says so. The transformer is frozen throughout. In the
published second stage its spatial layers are trained as well; here they stay too, so that a model with memories still
is the model. Conditions are dropped as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from longtake.models.codec import Codec
from longtake.models.text import TextEncoder
from longtake.models.wan import WanTransformer
from longtake.sampling.schedule import FlowSchedule
from longtake.train.config import Stage
from longtake.train.counters import normal, numbers
from longtake.train.device import Compute
from longtake.train.memories.clips import Sample, draw, held_out
from longtake.train.memories.config import MemoryRecipe
from longtake.train.memories.networks import Remembering
from longtake.train.networks import Fixed, each
from longtake.train.preview import sheet
from longtake.train.store import VALIDATION, LatentSet

__all__ = ["Memories"]

CHECKED = (0.3, 0.6, 0.9)
"""Noise levels of the validation."""
STEPS = 12
"""Steps of the sample sheets."""


class Memories:
    """The recipe. See `recipe.Recipe`."""

    def __init__(
        self,
        recipe: MemoryRecipe,
        data: Path,
        networks: Remembering,
        text: TextEncoder,
        codec: Codec,
        compute: Compute,
        guide: Remembering | None = None,
    ) -> None:
        """guide: the network before distillation with its own short-term memory, for a recipe that is guided."""
        self.recipe, self.folder, self.compute = recipe, data, compute
        self.stages: Sequence[Stage] = recipe.stages
        self.text, self.codec = text, codec
        self.data = LatentSet(data, seed=recipe.seed)
        self.networks: nn.Module = networks.to(compute.device)
        self.guide = None if guide is None else guide.to(compute.device).requires_grad_(False)
        self.shown = networks.shown
        self.grey = self._grey()

    @property
    def transformer(self) -> WanTransformer:
        """The frozen one."""
        assert isinstance(self.networks, Remembering)
        return self.networks.transformer

    def _grey(self) -> Tensor:
        """Latents `[C, h, w]` of a mid-grey picture, which stands for no anchor."""
        _, _, height, width = self.data.latent_shape
        stride = self.codec.spatial_stride
        picture = torch.zeros(1, 3, 1, height * stride, width * stride)
        return self.codec.encode(picture, self.codec.start())[0, :, 0].float()

    def shards(self) -> tuple[str, ...]:
        """Names of the shards in use."""
        return self.data.names

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Read other shards from now on."""
        self.data = LatentSet(self.folder, names, seed=self.recipe.seed)

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Mean squared velocity error of the step's batch."""
        recipe, count, device = self.recipe, stage.batch_size, self.compute.device
        sample = draw(recipe, self.data, step, count, stage.levels, self.shown)
        rng = numbers(recipe.seed, "memories sigma", step)
        u = (rng.permutation(count) + rng.random(count)) / count
        sigma = recipe.shift * u / (1 + (recipe.shift - 1) * u)
        clean = sample.clean.to(device)
        noise = normal(tuple(clean.shape), recipe.seed, "memories noise", step, device=device)
        past, anchor = self._remembered(sample, step)
        x = (1 - each(sigma, noise)) * clean + each(sigma, noise) * noise
        target = noise - clean + self._led(x, sigma, sample.texts, past)
        error = (self._predict(self.networks, x, sigma, sample.texts, past, anchor) - target).square()
        weights = torch.ones(clean.shape[2], device=device)
        weights[self.shown :] = recipe.new_weight
        return (error.mean((0, 1, 3, 4)) * weights).sum() / weights.sum()

    @torch.no_grad()
    def _led(self, x: Tensor, sigma: np.ndarray, texts: Sequence[str], past: Tensor) -> Tensor:
        """What guidance adds to the velocity; zero without."""
        guided = self.recipe.guided
        if self.guide is None or guided is None:
            return torch.zeros_like(x)
        prompted = self._predict(self.guide, x, sigma, texts, past, None)
        silent = self._predict(self.guide, x, sigma, [""] * len(texts), past, None)
        strength = np.where(sigma >= guided.until, guided.scale - 1, 0)
        return each(strength, x) * (prompted - silent)

    def _remembered(self, sample: Sample, step: int) -> tuple[Tensor, Tensor]:
        """Frames before and anchors of a batch as the memories get them: noised, made again, left out."""
        device = self.compute.device
        past, anchor = sample.past.to(device), sample.anchor.to(device)
        if sample.own.any() and self.recipe.kind == "apm":
            anchor = self._own_anchor(sample, anchor, step)
        absent = torch.from_numpy(sample.dropped.anchor).to(device)
        anchor = torch.where(absent[:, None, None, None], self.grey.to(device), anchor)
        if sample.light.any():
            light = each(sample.light, past)
            noise = normal(tuple(past.shape), self.recipe.seed, "memories past", step, device=device)
            past = (1 - light) * past + light * noise
        if sample.own.any():
            past = self._own_past(sample, past, anchor, step)
        return past, anchor

    def _own_past(self, sample: Sample, past: Tensor, anchor: Tensor, step: int) -> Tensor:
        """The frames before, some of them made again by the networks from what came before them."""
        chosen = np.flatnonzero(sample.own)
        clean, texts = sample.earlier[chosen].to(past), [sample.texts[i] for i in chosen]
        noise = normal(tuple(clean.shape), self.recipe.seed, "memories own past", step, device=past.device)
        remembered = clean[:, :, : self.shown]
        again = self._made_again(clean, noise, sample.own[chosen], texts, remembered, anchor[chosen])
        past = past.clone()
        past[chosen] = again[:, :, -self.shown :]
        return past

    def _own_anchor(self, sample: Sample, anchor: Tensor, step: int) -> Tensor:
        """The anchors, those of samples with an own past made again as single pictures."""
        chosen = np.flatnonzero(sample.own)
        clean, texts = anchor[chosen][:, :, None], [sample.texts[i] for i in chosen]
        noise = normal(
            tuple(clean.shape), self.recipe.seed, "memories own anchor", step, device=anchor.device
        )
        sigmas = self.recipe.own.anchors * sample.own[chosen]
        anchor = anchor.clone()
        anchor[chosen] = self._made_again(clean, noise, sigmas, texts, None, None)[:, :, 0]
        return anchor

    @torch.no_grad()
    def _made_again(
        self,
        clean: Tensor,
        noise: Tensor,
        sigmas: np.ndarray,
        texts: Sequence[str],
        past: Tensor | None,
        anchor: Tensor | None,
    ) -> Tensor:
        """Latents noised to a σ each and denoised by the networks as they are now, in the recipe's few steps."""
        level = each(sigmas, clean)
        x = (1 - level) * clean + level * noise
        for share, following in pairwise(np.linspace(1, 0, self.recipe.own.steps + 1)):
            sigma = sigmas * share
            velocity = self._predict(self.networks, x, sigma, texts, past, anchor)
            x = x + each(sigmas * following - sigma, x) * velocity
        return x

    def _predict(
        self,
        networks: nn.Module,
        x: Tensor,
        sigma: np.ndarray,
        texts: Sequence[str],
        past: Tensor | None,
        anchor: Tensor | None,
    ) -> Tensor:
        timestep = torch.from_numpy(1000 * sigma).to(x)[:, None].expand(-1, x.shape[2])
        with torch.no_grad():
            rows = self.text.encode(texts).to(x)
        with self.compute.autocast():
            velocity: Tensor = networks(x, timestep, rows, past, anchor)
        return velocity.float()

    @torch.no_grad()
    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Error to the target at fixed levels on clips set aside.

        At the middle one also of frames shown again and new, and without each memory.
        """
        networks, shown = Fixed(self.networks, weights), self.shown
        sample = held_out(self.recipe, self._validation(), 24, shown)
        clean = sample.clean.to(self.compute.device)
        noise = normal(tuple(clean.shape), self.recipe.seed, "memories validation", device=clean.device)
        figures = {}
        for level in CHECKED:
            sigma = np.full(len(clean), level)
            x = (1 - level) * clean + level * noise
            past, anchor = sample.past.to(clean), sample.anchor.to(clean)
            target = noise - clean + self._led(x, sigma, sample.texts, past)
            error = (self._predict(networks, x, sigma, sample.texts, past, anchor) - target).square()
            figures[f"sigma_{level}"] = float(error.mean())
            if level == CHECKED[1]:
                figures["shown_again"] = float(error[:, :, :shown].mean())
                figures["new"] = float(error[:, :, shown:].mean())
                plain = self._predict(networks, x, sigma, sample.texts, None, None) - target
                figures["new_without_memory"] = float(plain[:, :, shown:].square().mean())
                if self.recipe.kind == "apm":
                    short = self._predict(networks, x, sigma, sample.texts, past, None) - target
                    figures["new_without_anchor"] = float(short[:, :, shown:].square().mean())
        return figures

    def _validation(self) -> LatentSet:
        return LatentSet(self.folder, [VALIDATION], seed=self.recipe.seed)

    @torch.no_grad()
    def sample(self, weights: Mapping[str, Tensor], frames: int, path: Path) -> None:
        """A sheet of clips set aside: as they go on, and as the memories go on from their first frames."""
        networks = Fixed(self.networks, weights)
        sample = held_out(self.recipe, self._validation(), 4, self.shown)
        shape = tuple(sample.clean.shape)
        x = normal(shape, self.recipe.seed, "memories sample", device=self.compute.device)
        past, anchor = sample.past.to(x), sample.anchor.to(x)
        for sigma, following in pairwise(FlowSchedule(self.recipe.shift).uniform(STEPS)):
            level = np.full(len(x), sigma)
            x = x + (following - sigma) * self._predict(networks, x, level, sample.texts, past, anchor)
        both = torch.stack([sample.clean, x.cpu()], 1).flatten(0, 1)
        labels = [f"{side}: {text}" for text in sample.texts for side in ("true", "made")]
        sheet(self._decoded(both, sample.anchor.repeat_interleave(2, 0)), labels).save(path)

    def _decoded(self, clips: Tensor, anchor: Tensor) -> np.ndarray:
        """Pixels of clips from the middle of a stream, behind an image that the codec begins with."""
        pixels = self.codec.decode(torch.cat([anchor[:, :, None], clips], 2), self.codec.start())
        return pixels[:, 1:].numpy()
