"""Asymmetric distribution matching (CausVid, arXiv 2412.07772): two bidirectional scores pull a causal student.

The student predicts clean latents x from clips of which every block is at a step of the list drawn by itself: noised
data, or states of its own sampling (backward simulation, DMD2, arXiv 2405.14867). `scores.py` has the losses. Rollouts
of the student's own come with `self_forcing.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from longtake.train.config import Stage
from longtake.train.counters import numbers
from longtake.train.crops import Captions
from longtake.train.device import Compute
from longtake.train.distil.clips import Source, silent
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.flow import block_index, clean_of, gather_states, score_timesteps
from longtake.train.distil.scores import Scores
from longtake.train.distil.specs import AdversarialSpec, DmdSpec
from longtake.train.distil.stage import Roles, Streamed, causal_velocity
from longtake.train.mini import mix
from longtake.train.networks import Conditions

__all__ = ["Dmd", "Generated", "Matching"]


class Generated(NamedTuple):
    """Student output."""

    latents: Tensor
    """`[B, C, F, h, w]`."""
    captions: Captions
    """What the scores judge it under."""
    counts: Tensor
    """`[B, F]` bool, frames that are trained."""


class Matching(Streamed):
    """Distribution matching, however the student's output comes about; see `recipe.Adversarial`."""

    def __init__(
        self,
        name: str,
        spec: AdversarialSpec,
        config: DistilConfig,
        clips: Source,
        roles: Roles,
        compute: Compute,
    ) -> None:
        super().__init__(name, spec, config, clips, roles, compute)
        assert roles.teacher is not None
        assert roles.critic is not None
        self.critic: nn.Module = roles.critic
        self.critic_optimiser, self.ratio, self.spec = spec.critic, spec.ratio, spec
        self.scores = Scores(roles.teacher, roles.critic, spec.scores, block=self.block, compute=compute)

    @abstractmethod
    def generate(self, stage: Stage, step: int, *, trained: bool) -> Generated:
        """Student output of a step: with gradients for its own loss, without for the critic's."""

    def loss(self, stage: Stage, step: int) -> Tensor:
        """The student's loss of one step."""
        made = self.generate(stage, step, trained=True)
        return self.scores.student_loss(
            made.latents,
            self.student.conditions(made.captions),
            self.student.conditions(silent(made.captions)),
            self.noise(made.latents.shape, "score", step),
            self._timesteps("score", made, step),
            made.counts,
        )

    def critic_loss(self, stage: Stage, step: int) -> Tensor:
        """The critic's loss of one step."""
        with torch.no_grad():
            made = self.generate(stage, step, trained=False)
        return self.scores.critic_loss(
            made.latents,
            self.student.conditions(made.captions),
            self.noise(made.latents.shape, "critic score", step),
            self._timesteps("critic score", made, step),
        )

    def state(self) -> dict[str, Tensor]:
        """Nothing lasts from step to step."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing lasts from step to step."""

    def _timesteps(self, purpose: str, made: Generated, step: int) -> list[float]:
        spec, rng = self.spec.scores, numbers(self.config.seed, purpose, step)
        return score_timesteps(rng, len(made.latents), spec.shift, spec.lowest, spec.highest)


class Dmd(Matching):
    """The recipe."""

    def __init__(
        self, spec: DmdSpec, config: DistilConfig, clips: Source, roles: Roles, compute: Compute
    ) -> None:
        super().__init__("dmd", spec, config, clips, roles, compute)
        self.backward_simulation = spec.backward_simulation

    def generate(self, stage: Stage, step: int, *, trained: bool) -> Generated:
        """The clean prediction of one causal pass."""
        who = "student" if trained else "critic"
        clean, captions = self.clips.draw(stage, step, who)
        clean = clean.to(self.compute.device)
        conditions = self.student.conditions(captions)
        count, _, frames = clean.shape[:3]
        rng = numbers(self.config.seed, f"{who} levels", step)
        index = block_index(rng, len(self.levels.timesteps), count, frames, self.block)
        noisy = self._inputs(clean, conditions, index, who, step)
        timestep, sigma = self.levels.at(index, clean.device)
        with self.compute.autocast():
            velocity = causal_velocity(self.student, noisy, timestep, conditions, self.block)
        counts = torch.ones(count, frames, dtype=torch.bool, device=clean.device)
        return Generated(clean_of(noisy, velocity, sigma), captions, counts)

    def _inputs(
        self, clean: Tensor, conditions: Conditions, index: np.ndarray, who: str, step: int
    ) -> Tensor:
        """Clips with every frame at its level of the list; at the last they are clean."""
        if self.backward_simulation:
            states = self._simulate(clean.shape, conditions, who, step)
            return gather_states(states, torch.from_numpy(index).to(clean.device))
        _, sigma = self.levels.at(index, clean.device)
        clean_entry = torch.from_numpy(index == self.levels.steps).to(clean.device)
        noise = self.noise(clean.shape, f"{who} inputs", step)
        return mix(clean, noise, sigma.masked_fill(clean_entry, 0.0))

    @torch.no_grad()
    def _simulate(self, shape: torch.Size, conditions: Conditions, who: str, step: int) -> Tensor:
        """What the student's own sampling goes through, all blocks at one level: `[B, K + 1, C, F, h, w]`."""
        x, states = self.noise(shape, f"{who} simulation", step, 0), []
        for k in range(self.levels.steps):
            index = np.full((shape[0], shape[2]), k)
            timestep, sigma = self.levels.at(index, x.device)
            if k:
                x = mix(x, self.noise(shape, f"{who} simulation", step, k), sigma)
            states.append(x)
            with self.compute.autocast():
                velocity = causal_velocity(self.student, x, timestep, conditions, self.block)
            x = clean_of(x, velocity, sigma)
        return torch.stack([*states, x], dim=1)
