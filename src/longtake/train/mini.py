"""Pretraining of mini: flow matching under both masks, transformer and text encoder together.

One set of weights learns to be the bidirectional teacher and the block-causal streamer. Each batch is block-causal or
bidirectional; each sample has its own crop of a take, captions and pattern of noise levels (`crops.py`, `noise.py`).
The target is the velocity `noise − x0` of `x_t = (1−σ)·x0 + σ·noise`, the timestep 1000·σ of each latent frame, and
the loss the mean squared error over the frames that are not context.

Shapes: B samples, C channels, F latent frames, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from longtake.errors import UserError
from longtake.models.attention import WholeClip, block_causal_mask
from longtake.models.patch_codec import PatchCodec
from longtake.train.config import MiniConfig, Stage
from longtake.train.counters import normal, numbers
from longtake.train.crops import Captions, caption_frames, crop_frames, draw_crops
from longtake.train.device import Compute
from longtake.train.networks import Conditions, build_networks
from longtake.train.noise import NoisePlan, draw_modes, draw_noise
from longtake.train.preview import sample_sheet
from longtake.train.shown import shown_shares
from longtake.train.store import VALIDATION, LatentSet

__all__ = ["Mini", "Sample", "masked_error", "teacher_mask"]

COMPILED_FORMS = 64
"""Lengths, masks and passes with and without gradients that a block may be compiled for, over all stages."""
VALIDATION_SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One training batch before noise is added."""

    clean: Tensor
    """x0 `[B, C, F, h, w]`."""
    plan: NoisePlan
    """σ and loss weight of each frame."""
    captions: Captions
    """Captions and where they are in force."""
    causal: bool
    """Block-causal or bidirectional."""
    teacher: bool
    """Whether clean copies of the frames serve as context."""
    shown: Tensor | None
    """What each token shows `[B, F, N, A]`; None where nobody asks."""


class Noised(NamedTuple):
    """What the network is given and asked."""

    noisy: Tensor
    """`[B, C, F, h, w]`."""
    sigma: Tensor
    """`[B, F]`."""
    target: Tensor
    """The velocity, as `noisy`."""
    counts: Tensor
    """`[B, F]` bool, False for context."""
    conditions: Conditions
    mask: Tensor | None
    """`[F, F]`, which frame sees which."""


class Mini:
    """The recipe. See `recipe.Recipe`."""

    def __init__(
        self, config: MiniConfig, data: Path, words: Sequence[str], compute: Compute, parts: int = 1
    ) -> None:
        """`parts`: batches of an update, over all processes; they are of one length, so that none waits."""
        self.config, self.folder, self.compute, self.parts = config, data, compute, parts
        self.stages = config.stages
        self.data = LatentSet(data, seed=config.seed)
        self.data.check_length(max(stage.longest for stage in config.stages))
        self.networks = build_networks(config, self.data.latent_shape[0], words).to(compute.device)
        if config.compile:
            torch._dynamo.config.recompile_limit = COMPILED_FORMS
            for block in self.networks.transformer.blocks:
                block.compile(dynamic=False)
        _, _, height, width = self.data.latent_shape
        self.grid = self.networks.transformer.config.grid(height, width)

    def shards(self) -> tuple[str, ...]:
        """Names of the shards in use."""
        return self.data.names

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Read other shards from now on."""
        fresh = LatentSet(self.folder, names, seed=self.config.seed)
        if fresh.names != self.data.names:
            self.data = fresh

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Mean squared velocity error of the step's batch."""
        if stage.others:
            stage = stage.drawn(numbers(self.config.seed, "length", step // self.parts).random())
        sample = self.sample_batch(stage, step)
        device = self.compute.device
        clean = sample.clean.to(device, non_blocking=True)
        noise = normal(tuple(clean.shape), self.config.seed, "noise", step, device=device)
        sigma = torch.from_numpy(sample.plan.sigma).to(device, torch.float32)
        noisy = mix(clean, noise, sigma)
        given = Noised(
            noisy=noisy,
            sigma=sigma,
            target=noise - clean,
            counts=torch.from_numpy(sample.plan.counts).to(device),
            conditions=self.networks.conditions(sample.captions),
            mask=block_causal_mask(clean.shape[2], self.config.block) if sample.causal else None,
        )
        if sample.shown is not None and not sample.teacher:
            return self._asked(given, sample.shown.to(device))
        velocity = (
            self._with_clean_past(clean, given, sample, step) if sample.teacher else self._velocity(given)
        )
        return masked_error(velocity, given.target, given.counts)

    def sample_batch(self, stage: Stage, step: int) -> Sample:
        """Everything about a step's batch but the noise itself."""
        config, noise = self.config, stage.noise or self.config.noise
        rng = numbers(config.seed, "batch", step)
        count, frames = stage.batch_size, stage.frames
        self.data.check_length(frames)
        causal = bool(rng.random() < stage.causal)
        modes = draw_modes(rng, count, noise.causal if causal else noise.bidirectional, frames)
        plan = draw_noise(rng, modes, frames, config.block, noise)
        crops = draw_crops(rng, count, config.crops.weights, frames, config.block)
        jumps = [crop == "sink" for crop in crops]
        batch = self.data.batch(step, jumps, stage.levels, single=frames == 1)
        index = crop_frames(rng, crops, batch.records, batch.latents.shape[2], frames, config.block)
        captions = caption_frames(rng, batch.records, index, ~plan.counts, config.block, config.text)
        row, column = torch.arange(count)[:, None], torch.from_numpy(index)
        shown = None
        if self.config.shown:
            if batch.shares is None:
                raise UserError(
                    "the recipe asks what each token shows (shown), which needs a set of toybox clips made by this "
                    "version (longtake train latents); set shown to 0 or make the set anew"
                )
            shown = shown_shares(batch.shares[row, :, column].transpose(1, 2), batch.records, self.grid)
        return Sample(
            clean=batch.latents[row, :, column].transpose(1, 2).contiguous(),
            plan=plan,
            captions=captions,
            causal=causal,
            teacher=modes[0] == "teacher",
            shown=shown,
        )

    def _asked(self, given: Noised, shown: Tensor) -> Tensor:
        """Error of the velocity, and of what each token is said to show."""
        assert self.networks.shown is not None
        rule = self._rule(given)
        with self.compute.autocast():
            velocity, middle = self.networks.with_middle(
                given.noisy, 1000 * given.sigma, given.conditions, rule
            )
        told: Tensor = self.networks.shown(middle, shown)
        return masked_error(velocity, given.target, given.counts) + self.config.shown * told

    def _rule(self, given: Noised) -> WholeClip:
        return WholeClip(grid=self.grid, positions=tuple(range(given.noisy.shape[2])), mask=given.mask)

    def _velocity(self, given: Noised) -> Tensor:
        with self.compute.autocast():
            velocity: Tensor = self.networks(
                given.noisy, 1000 * given.sigma, given.conditions, self._rule(given)
            )
        return velocity

    def _with_clean_past(self, clean: Tensor, given: Noised, sample: Sample, step: int) -> Tensor:
        """Teacher forcing: clean or lightly noised frames in front, of which each noisy block sees the earlier."""
        frames, device = clean.shape[2], clean.device
        context = torch.from_numpy(sample.plan.context_sigma).to(device, torch.float32)
        light = context[:, None].expand_as(given.sigma)
        past = mix(clean, normal(tuple(clean.shape), self.config.seed, "context", step, device=device), light)
        rule = WholeClip(
            grid=self.grid,
            positions=tuple(range(frames)) * 2,
            mask=teacher_mask(frames, self.config.block),
        )
        segment = given.conditions.segment
        both = given.conditions._replace(segment=torch.cat([segment, segment], dim=1))
        with self.compute.autocast():
            velocity: Tensor = self.networks(
                torch.cat([past, given.noisy], dim=2),
                1000 * torch.cat([light, given.sigma], dim=1),
                both,
                rule,
            )
        return velocity[:, :, frames:]

    @torch.no_grad()
    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Error at fixed noise levels on clips set aside, block-causal; means for seen and held-out combinations."""
        stored = LatentSet(self.folder, [VALIDATION], seed=self.config.seed)
        count = min(len(stored), 24)
        batch = stored.spread(count)
        index = np.tile(np.arange(frames), (count, 1))
        silent = self.config.text.model_copy(update={"dropout": 0.0})
        context = np.zeros_like(index, dtype=bool)
        rng = numbers(self.config.seed, "validation")
        captions = caption_frames(rng, batch.records, index, context, self.config.block, silent)
        conditions = self.networks.conditions(captions)
        clean = batch.latents[:, :, :frames].to(self.compute.device)
        noise = normal(tuple(clean.shape), self.config.seed, "validation", device=clean.device)
        mask = block_causal_mask(frames, self.config.block)
        rule = WholeClip(grid=self.grid, positions=tuple(range(frames)), mask=mask)
        errors = []
        for level in VALIDATION_SIGMAS:
            sigma = torch.full((count, frames), level, device=clean.device)
            inputs = (mix(clean, noise, sigma), 1000 * sigma, conditions, rule)
            with self.compute.autocast():
                velocity = functional_call(self.networks, dict(weights), inputs)
            errors.append((velocity.float() - (noise - clean)).square().mean(dim=(1, 2, 3, 4)))
        table = torch.stack(errors)
        unseen = torch.tensor([record.split == "held_out" for record in batch.records], device=table.device)
        figures = {
            f"sigma_{level}": float(row.mean()) for level, row in zip(VALIDATION_SIGMAS, table, strict=True)
        }
        for name, which in (("seen", ~unseen), ("held_out", unseen)):
            if which.any():
                figures[name] = float(table[:, which].mean())
        return figures

    @torch.no_grad()
    def sample(self, weights: Mapping[str, Tensor], frames: int, path: Path) -> None:
        """A sheet of clips of the config's prompts, by the averaged weights."""
        if not self.config.prompts:
            return
        codec = PatchCodec.from_pretrained(self.folder / "codec")
        sample_sheet(self, weights, codec, self.config.prompts, frames, path)


def mix(clean: Tensor, noise: Tensor, sigma_BF: Tensor) -> Tensor:
    """`(1−σ)·clean + σ·noise` with σ of each frame."""
    sigma = sigma_BF[:, None, :, None, None]
    return (1 - sigma) * clean + sigma * noise


def masked_error(velocity: Tensor, target: Tensor, counts_BF: Tensor) -> Tensor:
    """Mean squared error over the frames that count, all of them weighing the same."""
    error = (velocity.float() - target).square().mean(dim=(1, 3, 4))
    return (error * counts_BF).sum() / counts_BF.sum()


def teacher_mask(frames: int, block: int) -> Tensor:
    """`[2F, 2F]`, clean copies before noisy frames: clean is block-causal, noisy sees earlier clean and itself."""
    index = torch.arange(frames) // block
    row, column = index[:, None], index[None, :]
    clean = torch.cat([row >= column, torch.zeros_like(row >= column)], dim=1)
    noisy = torch.cat([row > column, row == column], dim=1)
    return torch.cat([clean, noisy])
