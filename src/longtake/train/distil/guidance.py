"""Guidance distillation (Meng et al., arXiv 2210.03142): the student's one pass learns what guidance makes of two.

`mean((v_s(x_t, c) − (u + w·(c − u)))²)` over noised clips, every block after clean copies of the blocks before it, at a
noise level of its own. Nothing random is left in the target, so that it is learned in a few hundred updates. The result
takes as many steps as before, each at half the cost, and remembers one branch in place of two.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from longtake.sampling.schedule import FlowSchedule
from longtake.train.config import Stage
from longtake.train.counters import numbers
from longtake.train.device import Compute
from longtake.train.distil.clips import ClipBatch, Clips
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.flow import block_index, flow_ode
from longtake.train.distil.specs import GuidanceSpec
from longtake.train.distil.stage import Roles, Streamed
from longtake.train.mini import mix

__all__ = ["Guidance"]


class Guidance(Streamed):
    """The recipe. See `recipe.Recipe`."""

    def __init__(
        self, spec: GuidanceSpec, config: DistilConfig, clips: Clips, roles: Roles, compute: Compute
    ) -> None:
        super().__init__("guidance", spec, config, clips, roles, compute)
        assert roles.teacher is not None
        self.teacher, self.scale, self.until = roles.teacher, spec.guidance_scale, spec.until
        self.sampler = self.steps = flow_ode(spec.sampler)
        self.grid = np.array(FlowSchedule(spec.sampler.shift).uniform(spec.grid))

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Difference of the student's velocity from the guided one."""
        batch = self.clips.draw(stage, step, "guidance")
        rng = numbers(self.config.seed, "guidance levels", step)
        count, frames = len(batch.latents), batch.latents.shape[2]
        index = block_index(rng, len(self.grid) - 1, count, frames, self.block)
        sigma = torch.from_numpy(self.grid[index]).to(self.compute.device, torch.float32)
        return self._difference(batch, sigma, self.noise(batch.latents.shape, "guidance noise", step))

    def _difference(self, batch: ClipBatch, sigma: Tensor, noise: Tensor) -> Tensor:
        clean, captions = batch.latents.to(self.compute.device), batch.captions
        noisy = mix(clean, noise, sigma)
        target = self.guided(self.teacher, clean, noisy, sigma, captions, self.scale, self.until)
        told = self.student.conditions(captions)
        return (self.velocity(self.student, clean, noisy, sigma, told) - target).square().mean()

    def _errors(self, batch: ClipBatch) -> dict[str, float]:
        """The difference at each noise level that the result will meet, on clips set aside."""
        noise = self.noise(batch.latents.shape, "validation")
        shape = len(batch.latents), batch.latents.shape[2]
        figures = {}
        for level in FlowSchedule(self.steps.shift).uniform(self.steps.num_inference_steps)[:-1]:
            sigma = torch.full(shape, level, device=self.compute.device)
            figures[f"sigma_{level:.3f}"] = float(self._difference(batch, sigma, noise))
        return figures
