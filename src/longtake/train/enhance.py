"""The enhancer's recipe: from an enlarged, noised, poor clip back to the clean one, all frames seeing each other.

SDEdit begins at `s = (1−σ₀)·poor + σ₀·noise`, σ₀ being the strength, and goes down to σ = 0. What it goes through is
learnt: `x_σ = clean + σ·v` with `v = (s − clean)/σ₀`, a straight line from s to the clean clip; `v` is the target. At
σ₀ = 1 that is ordinary flow matching, which a share of the samples gets, so that the network also knows what clips look
like. Strengths are drawn anew for each sample; the timestep is 1000·σ, as when it is used.

The network may predict v, or the clean clip, which is x_σ − σ·v (`prediction`). v is mostly noise, all of whose numbers
have to pass through the network; a clean clip has less to it.

Shapes: B samples, C channels, F latent frames, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from longtake.enhance.levels import flow_levels
from longtake.enhance.tiling import Tiling
from longtake.errors import UserError
from longtake.models.text import TextEncoder
from longtake.models.wan import WanConfig, WanTransformer
from longtake.train.config import OptimiserConfig, Precision, Share, Stage, Strict, TransformerConfig
from longtake.train.counters import normal, numbers
from longtake.train.crops import draw_caption
from longtake.train.device import Compute
from longtake.train.enhance_pairs import CLEAN, POOR, PairsConfig
from longtake.train.networks import Fixed, each, initialise
from longtake.train.preview import sheet
from longtake.train.store import VALIDATION, ClipRecord, LatentSet

__all__ = ["Enhance", "EnhanceRecipe", "Transformer", "bridge"]

LEVEL = 0.2
"""σ below which errors of a clean clip count as they would there: divided by σ they would be without bound."""
CHECKED = (0.2, 0.4, 0.6)
"""Noise levels of the validation; those above the recipe's strength, which never come up, count as that."""


class EnhanceRecipe(Strict):
    """Everything that decides an enhancer."""

    kind: Literal["enhance"] = "enhance"
    seed: int = 0
    pairs: PairsConfig = PairsConfig()
    transformer: TransformerConfig = TransformerConfig()
    begin: Annotated[str, Field(pattern=r"^[\w-]+$")] | None = None
    """Folder of the model's transformer whose weights it begins with, of the sizes above; none: random ones."""
    window: PositiveInt = 6
    """Latent frames of a window."""
    overlap: NonNegativeInt = 2
    """Latent frames that windows are joined over."""
    steps: PositiveInt = 4
    """Network evaluations of a window, in use."""
    strength: PositiveFloat = 0.5
    """Strength in use, unless the user says."""
    strengths: tuple[float, float] = (0.25, 0.75)
    """Strengths that are trained."""
    prediction: Literal["velocity", "sample"] = "velocity"
    """What the network predicts; see `FlowSpec.prediction`."""
    plain_share: Share = 0.15
    """Share of samples with strength 1, whose start holds nothing of the poor clip."""
    text_dropout: Share = 0.1
    """Share of samples with the empty caption."""
    stages: tuple[Stage, ...]
    optimiser: OptimiserConfig = OptimiserConfig(hidden="adamw")
    precision: Precision = "auto"
    """As for mini."""
    checkpoint_minutes: PositiveFloat = 8.0
    sample_minutes: PositiveFloat = 15.0
    log_steps: PositiveInt = 20
    validate_steps: PositiveInt = 250

    @model_validator(mode="after")
    def _fits(self) -> EnhanceRecipe:
        try:
            Tiling(length=self.window, overlap=self.overlap)
        except UserError as reason:
            raise ValueError(str(reason)) from None
        if not self.stages:
            raise ValueError("there are no stages; give at least one")
        longest = max(stage.frames for stage in self.stages)
        if longest > self.pairs.latent_frames:
            raise ValueError(
                f"a stage has {longest} latent frames, and pairs.latent_frames makes clips of "
                f"{self.pairs.latent_frames}; use fewer, or make longer clips"
            )
        return self


class Transformer(nn.Module):
    """What is trained, under the name that the optimiser knows."""

    def __init__(self, recipe: EnhanceRecipe, channels: int, text_dim: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            sizes = recipe.transformer.model_dump()
            config = WanConfig(**sizes, in_channels=channels, out_channels=channels, text_dim=text_dim)
            self.transformer = WanTransformer(config)
            initialise(self.transformer)

    def begin_from(self, other: WanTransformer) -> None:
        """Take the weights of another transformer. Raises UserError for one of other sizes."""
        own = self.transformer.config
        sizes = [f.name for f in fields(own) if getattr(own, f.name) != getattr(other.config, f.name)]
        if sizes:
            given = ", ".join(f"{name} {getattr(other.config, name)}" for name in sizes)
            raise UserError(
                f"the transformer to begin with has {given}; give the recipe's transformer the same"
            )
        self.transformer.load_state_dict(other.state_dict())

    def forward(self, x: Tensor, timestep_BF: Tensor, text: Tensor) -> Tensor:
        """What it predicts, `[B, C, F, h, w]`."""
        predicted: Tensor = self.transformer(x, timestep_BF, text)
        return predicted


class Enhance:
    """The recipe. See `recipe.Recipe`."""

    def __init__(self, recipe: EnhanceRecipe, data: Path, text: TextEncoder, compute: Compute) -> None:
        self.recipe, self.folder, self.compute = recipe, data, compute
        self.stages: Sequence[Stage] = recipe.stages
        self.text = text
        self.clean, self.poor = self._sets(None)
        self.clean.check_length(max(stage.frames for stage in self.stages))
        channels = self.clean.latent_shape[0]
        self.networks: nn.Module = Transformer(recipe, channels, text.dim).to(compute.device)

    def _sets(self, names: Sequence[str] | None) -> tuple[LatentSet, LatentSet]:
        """Both sides of the pairs, the same shards of each."""
        clean = LatentSet(self.folder / CLEAN, names, seed=self.recipe.seed)
        return clean, LatentSet(self.folder / POOR, clean.names, seed=self.recipe.seed)

    def shards(self) -> tuple[str, ...]:
        """Names of the shards in use."""
        return self.clean.names

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Read other shards from now on."""
        self.clean, self.poor = self._sets(names)

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Mean squared velocity error of the step's batch; of clean clips that of low levels counts less."""
        recipe, count = self.recipe, stage.batch_size
        rng = numbers(recipe.seed, "enhance", step)
        clean, poor = (side.batch(step, [False] * count, stage.levels) for side in (self.clean, self.poor))
        first = rng.integers(0, clean.latents.shape[2] - stage.frames + 1, count)
        low, high = recipe.strengths
        strength = np.where(rng.random(count) < recipe.plain_share, 1.0, rng.uniform(low, high, count))
        sigma = strength * (rng.permutation(count) + rng.random(count)) / count
        texts = self._texts(rng, clean.records, first + stage.frames // 2)
        x0, rough = (_windows(side.latents, first, stage.frames) for side in (clean, poor))
        noise = normal(tuple(x0.shape), recipe.seed, "enhance noise", step, device=self.compute.device)
        velocity = bridge(x0.to(noise), rough.to(noise), noise, each(strength, noise))
        x = x0.to(noise) + each(sigma, noise) * velocity
        error = self._predict(self.networks, x, sigma, texts) - velocity
        if recipe.prediction == "sample":
            error = error * each(np.minimum(sigma / LEVEL, 1.0), noise)
        return error.square().mean()

    def _texts(self, rng: np.random.Generator, records: Sequence[ClipRecord], at: np.ndarray) -> list[str]:
        """A caption of each clip, the one in force at a latent frame."""
        return [
            "" if rng.random() < self.recipe.text_dropout else draw_caption(rng, record, int(frame))
            for record, frame in zip(records, at, strict=True)
        ]

    def _predict(self, networks: nn.Module, x: Tensor, sigma: np.ndarray, texts: Sequence[str]) -> Tensor:
        """Velocity of `x` at σ `[B]`."""
        timestep = torch.from_numpy(1000 * sigma).to(x)[:, None].expand(-1, x.shape[2])
        text = self.text.encode(texts).to(x)
        with self.compute.autocast():
            predicted: Tensor = networks(x, timestep, text)
        if self.recipe.prediction == "sample":
            return (x - predicted.float()) / each(np.maximum(sigma, 1e-3), x)
        return predicted.float()

    @torch.no_grad()
    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Error at fixed levels on clips set aside, and how much of the poor clips' error is left when all is done."""
        networks = Fixed(self.networks, weights)
        x0, rough, texts = self._held_out(frames)
        noise = normal(tuple(x0.shape), self.recipe.seed, "enhance validation", device=self.compute.device)
        velocity = bridge(x0, rough, noise, each(np.full(len(x0), self.recipe.strength), x0))
        figures = {}
        for level in sorted({min(level, self.recipe.strength) for level in CHECKED}):
            sigma = np.full(len(x0), level)
            predicted = self._predict(networks, x0 + each(sigma, x0) * velocity, sigma, texts)
            figures[f"sigma_{level:g}"] = float((predicted - velocity).square().mean())
        restored = self._restore(networks, rough, noise, texts)
        left = (restored - x0).square().mean() / (rough - x0).square().mean()
        return figures | {"error_left": float(left)}

    def _held_out(self, frames: int, count: int = 16) -> tuple[Tensor, Tensor, list[str]]:
        """Clean and poor windows of the validation shard, and their captions."""
        sides = [LatentSet(self.folder / name, [VALIDATION], seed=self.recipe.seed) for name in (CLEAN, POOR)]
        clean, poor = (side.spread(min(count, len(side))) for side in sides)
        first = np.arange(len(clean.records)) % (clean.latents.shape[2] - frames + 1)
        rng = numbers(self.recipe.seed, "enhance validation")
        texts = [draw_caption(rng, record, int(at)) for record, at in zip(clean.records, first, strict=True)]
        x0, rough = (_windows(side.latents, first, frames).to(self.compute.device) for side in (clean, poor))
        return x0, rough, texts

    def _restore(self, networks: nn.Module, rough: Tensor, noise: Tensor, texts: Sequence[str]) -> Tensor:
        """SDEdit of whole windows, as in use."""
        levels = flow_levels(self.recipe.strength, self.recipe.steps)
        x = levels[0].alpha * rough + levels[0].sigma * noise
        for at, to in pairwise(levels):
            x = x + (to.sigma - at.sigma) * self._predict(networks, x, np.full(len(x), at.sigma), texts)
        return x

    @torch.no_grad()
    def sample(self, weights: Mapping[str, Tensor], frames: int, path: Path) -> None:
        """A sheet of windows set aside: poor, enhanced, as they should be."""
        from longtake.models.patch_codec import PatchCodec

        codec = PatchCodec.from_pretrained(self.folder / "codec")
        x0, rough, texts = self._held_out(frames, count=3)
        noise = normal(tuple(x0.shape), self.recipe.seed, "enhance sample", device=self.compute.device)
        restored = self._restore(Fixed(self.networks, weights), rough, noise, texts)
        rows = torch.stack([rough, restored, x0], dim=1).flatten(0, 1).cpu()
        pixels = torch.cat([codec.decode(row[None], codec.start()) for row in rows]).numpy()
        labels = [f"{side}: {text}" for text in texts for side in ("poor", "enhanced", "clean")]
        sheet(pixels, labels).save(path)


def bridge(clean: Tensor, poor: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
    """The velocity of the straight line from `(1−σ₀)·poor + σ₀·noise` at σ₀ = strength to `clean` at 0."""
    return ((1 - strength) * poor + strength * noise - clean) / strength


def _windows(latents: Tensor, first: np.ndarray, frames: int) -> Tensor:
    """`[B, C, frames, h, w]`, of each clip those from its own `first` on."""
    return torch.stack([clip[:, start : start + frames] for clip, start in zip(latents, first, strict=True)])
