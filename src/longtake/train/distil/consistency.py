"""Causal consistency distillation (Causal-Forcing, arXiv 2602.02214; consistency models, arXiv 2303.01469).

Needs no stored pairs: one Euler step of the causal teacher, with guidance, from t to t' leads to where the student must
predict the same clean latents: `mean((f(x_t, t) − sg f(x_t', t'))²)`, f(x, 0) = x. t and t' are neighbours on a grid,
drawn for each block, and every block follows clean copies of the blocks before it (teacher forcing). The target is
the student itself without a gradient, as in arXiv 2310.14189.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from longtake.sampling.schedule import FlowSchedule
from longtake.train.config import Stage
from longtake.train.counters import numbers
from longtake.train.device import Compute
from longtake.train.distil.clips import Clips
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.flow import block_index, clean_of
from longtake.train.distil.specs import ConsistencySpec
from longtake.train.distil.stage import Roles, Streamed
from longtake.train.mini import mix
from longtake.train.networks import Conditions

__all__ = ["Consistency"]


class Consistency(Streamed):
    """The recipe. See `recipe.Recipe`."""

    def __init__(
        self, spec: ConsistencySpec, config: DistilConfig, clips: Clips, roles: Roles, compute: Compute
    ) -> None:
        super().__init__("consistency", spec, config, clips, roles, compute)
        assert roles.teacher is not None
        self.teacher, self.scale, self.until = roles.teacher, spec.guidance_scale, spec.until
        self.grid = np.array(FlowSchedule(config.sampler.shift).uniform(spec.grid))

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Difference of two neighbouring predictions."""
        clean, captions = self.clips.draw(stage, step, "consistency")
        clean = clean.to(self.compute.device)
        rng = numbers(self.config.seed, "consistency levels", step)
        index = block_index(rng, len(self.grid) - 1, len(clean), clean.shape[2], self.block)
        high, low = (
            torch.from_numpy(self.grid[at]).to(clean.device, torch.float32) for at in (index, index + 1)
        )
        told = self.student.conditions(captions)
        noisy = mix(clean, self.noise(clean.shape, "consistency noise", step), high)
        with torch.no_grad():
            slope = self.guided(self.teacher, clean, noisy, high, captions, self.scale, self.until)
            after = noisy + (low - high)[:, None, :, None, None] * slope
            target = self._clean(clean, after, low, told)
        return (self._clean(clean, noisy, high, told) - target).square().mean()

    def _clean(self, past: Tensor, noisy: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        return clean_of(noisy, self.velocity(self.student, past, noisy, sigma, conditions), sigma)
