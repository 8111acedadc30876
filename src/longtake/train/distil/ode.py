"""Regression on ODE pairs (CausVid, arXiv 2412.07772): the student learns where each state of a trajectory leads.

For every block one of the kept states is drawn, the clean one among them, and the student predicts the trajectory's
end from all blocks under the causal mask: `mean((x̂ − x_end)²)` over the frames whose timestep is not 0. With pairs of
a causal teacher the past is the trajectories' end (`context: clean`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from longtake.train.config import Stage
from longtake.train.counters import numbers
from longtake.train.crops import Captions
from longtake.train.device import Compute
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.flow import StepLevels, block_index, clean_of, gather_states
from longtake.train.distil.pairs import Pairs
from longtake.train.distil.specs import OdeSpec
from longtake.train.distil.stage import VALIDATION_CLIPS, Distil, Roles, causal_velocity, velocity_after

__all__ = ["OdeRegression", "regression_error"]


class OdeRegression(Distil):
    """The recipe. See `recipe.Recipe`; its data are pairs."""

    def __init__(
        self, spec: OdeSpec, config: DistilConfig, data: Path, roles: Roles, compute: Compute
    ) -> None:
        self.pairs, self.folder = Pairs(data, StepLevels.of(config.sampler)), data
        super().__init__("ode", spec, config, self.pairs.latent_shape, roles, compute)
        self.context = spec.context

    def shards(self) -> tuple[str, ...]:
        """Names of the shards in use."""
        return self.pairs.names

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Read other shards from now on."""
        fresh = Pairs(self.folder, self.levels, names)
        if fresh.names != self.pairs.names:
            self.pairs = fresh

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Squared error of the predicted ends."""
        rng = numbers(self.config.seed, "ode", step)
        states, captions = self.pairs.draw(rng, stage.batch_size)
        frames = min(states.shape[3], stage.frames)
        index = block_index(rng, len(self.levels.timesteps), len(states), frames, self.block)
        return self._error(states[:, :, :, :frames], captions, index)

    def _error(self, states: Tensor, captions: Sequence[str], index: np.ndarray) -> Tensor:
        states = states.to(self.compute.device)
        noisy = gather_states(states, torch.from_numpy(index).to(states.device))
        timestep, sigma = self.levels.at(index, states.device)
        end = states[:, -1]
        segment = np.zeros(index.shape, dtype=np.int64)
        conditions = self.student.conditions(
            Captions(texts=tuple((text,) for text in captions), segment=segment)
        )
        with self.compute.autocast():
            if self.context == "clean":
                velocity = velocity_after(self.student, end, noisy, timestep, conditions, self.block)
            else:
                velocity = causal_velocity(self.student, noisy, timestep, conditions, self.block)
        return regression_error(clean_of(noisy, velocity, sigma), end, timestep)

    @torch.no_grad()
    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Squared error at each step of the list, all blocks at the same, on pairs set aside."""
        if not self.pairs.has_validation:
            return {}
        states, captions = self.pairs.validation(VALIDATION_CLIPS)
        states, figures = states[:, :, :, :frames], {}
        with self.averaged(weights):
            for k, sigma in enumerate(self.levels.sigmas[:-1]):
                index = np.full((len(states), states.shape[3]), k)
                figures[f"sigma_{sigma:.3f}"] = float(self._error(states, captions, index))
        return figures


def regression_error(predicted: Tensor, end: Tensor, timestep_BF: Tensor) -> Tensor:
    """Mean squared error over the frames whose timestep is not 0; 0 where there are none."""
    counts = (timestep_BF > 0).to(predicted.dtype)
    error = (predicted - end).square().mean(dim=(1, 3, 4))
    return (error * counts).sum() / counts.sum().clamp(min=1)
