"""What every stage that trains a student has: its clips, its forward passes, its figures and its sample sheets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from longtake.methods import Conditions as Steering
from longtake.methods.build import causal
from longtake.models.attention import WholeClip, block_causal_mask
from longtake.models.codec import Codec
from longtake.sampling import Sampler
from longtake.sampling.noise import CounterNoise
from longtake.train.config import Stage
from longtake.train.counters import normal
from longtake.train.crops import Captions
from longtake.train.device import Compute
from longtake.train.distil.backbone import Backbone
from longtake.train.distil.clips import ClipBatch, Source, silent
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.flow import StepLevels, clean_of, few_step
from longtake.train.distil.specs import Training
from longtake.train.mini import mix, teacher_mask
from longtake.train.networks import Conditions
from longtake.train.preview import sheet

__all__ = ["Distil", "Roles", "Streamed", "causal_velocity", "velocity_after"]

VALIDATION_CLIPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """The networks of a stage."""

    student: Backbone
    """What is trained."""
    teacher: Backbone | None = None
    """What it is trained by."""
    critic: Backbone | None = None
    """The fake score."""
    codec: Codec | None = None
    """For sample sheets, and for image latents."""


class Distil(ABC):
    """A stage as a recipe of the training loop; see `recipe.Recipe`. A subclass gives the loss."""

    def __init__(
        self,
        name: str,
        spec: Training,
        config: DistilConfig,
        latent_shape: tuple[int, int, int],
        roles: Roles,
        compute: Compute,
    ) -> None:
        """latent_shape: `(C, h, w)` of a latent frame."""
        self.config, self.latent_shape, self.roles, self.compute = config, latent_shape, roles, compute
        self.stages: Sequence[Stage] = (spec.stage(name),)
        self.student, self.networks = roles.student, roles.student
        self.policy, self.block = config.student, config.student.block
        self.levels = StepLevels.of(config.sampler)
        self.sampler: Sampler = few_step(config.sampler)
        """What sample sheets are made with."""
        self.parts = 1
        """Parts of an update over all processes; what they must have in common is drawn by `step // parts`."""

    @abstractmethod
    def loss(self, stage: Stage, step: int) -> Tensor:
        """See `recipe.Recipe`."""

    @abstractmethod
    def shards(self) -> tuple[str, ...]:
        """Names of the shards in use."""

    @abstractmethod
    def use_shards(self, names: Sequence[str] | None) -> None:
        """Read other shards from now on."""

    def noise(self, shape: Sequence[int], purpose: str, *index: int) -> Tensor:
        """Standard normal numbers for one purpose at one place."""
        return normal(tuple(shape), self.config.seed, purpose, *index, device=self.compute.device)

    @abstractmethod
    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Figures on held-out data with the averaged weights."""

    @torch.no_grad()
    def sample(self, weights: Mapping[str, Tensor], frames: int, path: Path) -> None:
        """A sheet of clips of the config's prompts, streamed by the averaged weights."""
        prompts, codec = self.config.prompts, self.roles.codec
        if not prompts or codec is None:
            return
        with self.averaged(weights):
            clips = torch.cat([self.stream(prompt, frames) for prompt in prompts]).cpu()
        sheet(codec.decode(clips, codec.start()).numpy(), prompts).save(path)

    def stream(self, prompt: str, frames: int) -> Tensor:
        """Latents `[1, C, F, h, w]` of whole blocks, made by the engine from a fixed seed."""
        transformer = self.student.transformer
        method = causal(self.policy, transformer, self.sampler)
        state, noise = method.start(self.latent_shape), CounterNoise(self.config.seed)
        text = transformer.text_context(self.student.read([prompt]))
        latents: list[Tensor] = []
        while len(latents) * self.block < frames:
            plan = method.next(len(latents) * self.block, None)
            latents.append(method.denoise(plan, noise, Steering(text=text), state))
            state.memory.commit(plan.final, latents[-1], text, None)
        return torch.cat(latents, dim=2)

    @contextmanager
    def averaged(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """The student with these weights for a while."""
        named: Mapping[str, nn.Parameter] = dict(self.student.named_parameters())
        kept = {name: named[name].detach().clone() for name in weights}
        _fill(named, weights)
        try:
            yield
        finally:
            _fill(named, kept)


class Streamed(Distil):
    """A stage whose data are clips, or their captions alone."""

    def __init__(
        self, name: str, spec: Training, config: DistilConfig, clips: Source, roles: Roles, compute: Compute
    ) -> None:
        super().__init__(name, spec, config, clips.latent_shape, roles, compute)
        self.clips = clips

    def shards(self) -> tuple[str, ...]:
        """Names of the shards in use."""
        return self.clips.names

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Read other shards from now on."""
        self.clips.use_shards(names)

    def velocity(
        self, backbone: Backbone, past: Tensor, noisy: Tensor, sigma_BF: Tensor, conditions: Conditions
    ) -> Tensor:
        """Velocity in float32, each block after the clean blocks of `past` before it."""
        with self.compute.autocast():
            velocity = velocity_after(backbone, past, noisy, 1000 * sigma_BF, conditions, self.block)
        return velocity.float()

    @torch.no_grad()
    def guided(
        self,
        teacher: Backbone,
        past: Tensor,
        noisy: Tensor,
        sigma_BF: Tensor,
        captions: Captions,
        scale: float,
        until: float,
    ) -> Tensor:
        """The teacher's velocity `u + scale·(c − u)`; `c` in frames whose noise is below σ `until`."""
        told, untold = teacher.conditions(captions), teacher.conditions(silent(captions))
        conditional = self.velocity(teacher, past, noisy, sigma_BF, told)
        unconditional = self.velocity(teacher, past, noisy, sigma_BF, untold)
        scales = torch.where(sigma_BF < until, 1.0, scale)[:, None, :, None, None]
        return unconditional + scales * (conditional - unconditional)

    @torch.no_grad()
    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Squared error of the clean prediction at each step of the list, after a clean past, on clips set aside."""
        batch = self.clips.held_out(frames, VALIDATION_CLIPS)
        if batch is None:
            return {}
        with self.averaged(weights):
            return self._errors(batch)

    def _errors(self, batch: ClipBatch) -> dict[str, float]:
        clean = batch.latents.to(self.compute.device)
        conditions, figures = self.student.conditions(batch.captions), {}
        noise = self.noise(clean.shape, "validation")
        shape = clean.shape[0], clean.shape[2]
        levels = zip(self.levels.timesteps[:-1], self.levels.sigmas[:-1], strict=True)
        for timestep, sigma in levels:
            sigmas = torch.full(shape, sigma, device=clean.device)
            noisy, times = mix(clean, noise, sigmas), torch.full(shape, timestep, device=clean.device)
            with self.compute.autocast():
                velocity = velocity_after(self.student, clean, noisy, times, conditions, self.block)
            error = (clean_of(noisy, velocity, sigmas) - clean).square().mean()
            figures[f"sigma_{sigma:.3f}"] = float(error)
        return figures


@torch.no_grad()
def _fill(named: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        named[name].copy_(value)


def causal_velocity(
    student: Backbone, noisy: Tensor, timestep_BF: Tensor, conditions: Conditions, block: int
) -> Tensor:
    """One pass under the block-causal mask: each block sees the blocks before it as noisy as they are."""
    frames = noisy.shape[2]
    rule = WholeClip(
        grid=student.transformer.config.grid(*noisy.shape[3:]),
        positions=tuple(range(frames)),
        mask=block_causal_mask(frames, block),
    )
    velocity: Tensor = student(noisy, timestep_BF, conditions, rule)
    return velocity


def velocity_after(
    student: Backbone, past: Tensor, noisy: Tensor, timestep_BF: Tensor, conditions: Conditions, block: int
) -> Tensor:
    """One pass in which each block sees the clean blocks of `past` before it: a streaming step of every block."""
    frames = noisy.shape[2]
    rule = WholeClip(
        grid=student.transformer.config.grid(*noisy.shape[3:]),
        positions=tuple(range(frames)) * 2,
        mask=teacher_mask(frames, block),
    )
    both = conditions._replace(segment=torch.cat([conditions.segment, conditions.segment], dim=1))
    times = torch.cat([torch.zeros_like(timestep_BF), timestep_BF], dim=1)
    velocity: Tensor = student(torch.cat([past, noisy], dim=2), times, both, rule)
    return velocity[:, :, frames:]
