"""Distribution matching: the student's gradient from two scores, and the loss of the critic.

With clean predictions r of the teacher (guided) and f of the critic for the same noised student output x_t, the
gradient of the student's output x is (Yin et al., arXiv 2311.18828; CausVid, arXiv 2412.07772)

    g = (f − r) / mean|x − r|        mean over all but the batch; NaN counts as 0
    loss = ½·mean((x − sg(x − g))²)  so that ∂loss/∂x = g / numel

and the critic learns flow matching on the student's output: mean((v(x_t) − (noise − x))²). Both networks see the whole
clip in both directions, while the student is causal: asymmetric. Shapes as in `flow.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longtake.models.attention import AttentionRule, WholeClip, block_causal_mask
from longtake.sampling.schedule import FlowSchedule
from longtake.train.device import Compute
from longtake.train.distil.backbone import Backbone
from longtake.train.distil.flow import clean_of
from longtake.train.distil.specs import ScoreSpec
from longtake.train.mini import mix
from longtake.train.networks import Conditions

__all__ = ["Scores", "critic_error", "dmd_gradient", "dmd_loss", "guide"]


def guide(conditional: Tensor, unconditional: Tensor, weight: float | Tensor) -> Tensor:
    """`c + w·(c − u)`: with the weight of the papers; in the standard form that is a scale of w + 1."""
    return conditional + weight * (conditional - unconditional)


def dmd_gradient(generated: Tensor, fake: Tensor, real: Tensor) -> Tensor:
    """`(fake − real) / mean|generated − real|` of clean predictions, normalised sample by sample; 0 where undefined."""
    scale = (generated - real).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    gradient = (fake - real) / scale
    return gradient.masked_fill(gradient.isnan(), 0.0)


def dmd_loss(generated: Tensor, gradient: Tensor, counts_BF: Tensor) -> Tensor:
    """A loss in float64 whose derivative by `generated` is `gradient` over the number of elements that count."""
    x = generated.double()
    error = 0.5 * (x - (x - gradient.double()).detach()).square()
    return error.mean(dim=(1, 3, 4))[counts_BF].mean()


def critic_error(velocity: Tensor, noise: Tensor, generated: Tensor) -> Tensor:
    """Flow matching on the student's output."""
    return (velocity.float() - (noise - generated.detach())).square().mean()


class Scores:
    """Teacher and critic as the two scores of a stage."""

    def __init__(
        self, teacher: Backbone, critic: Backbone, spec: ScoreSpec, *, block: int, compute: Compute
    ) -> None:
        """block: latent frames of a block, for the symmetric ablation."""
        self.teacher, self.critic, self.spec = teacher, critic, spec
        self.block, self.compute = block, compute

    def student_loss(
        self,
        generated: Tensor,
        told: Conditions,
        untold: Conditions,
        noise: Tensor,
        timesteps: Sequence[float],
        counts_BF: Tensor,
    ) -> Tensor:
        """The loss of student output `generated [B, C, F, h, w]`; one timestep a sample, for all its frames.

        untold: conditions of the empty prompt. counts_BF: frames that are trained.
        """
        clean = generated.detach()
        with torch.no_grad():
            noisy, timestep, sigma = self._noised(clean, noise, timesteps)
            fake = clean_of(noisy, self._velocity(self.critic, noisy, timestep, told), sigma)
            real = guide(
                clean_of(noisy, self._velocity(self.teacher, noisy, timestep, told), sigma),
                clean_of(noisy, self._velocity(self.teacher, noisy, timestep, untold), sigma),
                torch.where(sigma < self.spec.until, 0.0, self.spec.guidance)[:, None, :, None, None],
            )
        return dmd_loss(generated, dmd_gradient(clean, fake, real), counts_BF)

    def critic_loss(
        self, generated: Tensor, told: Conditions, noise: Tensor, timesteps: Sequence[float]
    ) -> Tensor:
        """Flow matching of the critic on student output, which gets no gradient."""
        clean = generated.detach()
        noisy, timestep, _ = self._noised(clean, noise, timesteps)
        return critic_error(self._velocity(self.critic, noisy, timestep, told), noise, clean)

    def _noised(
        self, clean: Tensor, noise: Tensor, timesteps: Sequence[float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy latents, timestep `[B, F]`, and the σ `[B, F]` that turns velocity into clean latents."""
        frames, device = clean.shape[2], clean.device
        schedule = FlowSchedule(self.spec.shift)
        table = FlowSchedule(self.spec.table_shift or self.spec.shift)

        def spread(values: list[float]) -> Tensor:
            return torch.tensor(values, device=device)[:, None].expand(-1, frames)

        noisy = mix(clean, noise, spread([schedule.sigma(t) for t in timesteps]))
        return noisy, spread(list(timesteps)), spread([table.sigma(t) for t in timesteps])

    def _velocity(
        self, backbone: Backbone, noisy: Tensor, timestep: Tensor, conditions: Conditions
    ) -> Tensor:
        with self.compute.autocast():
            velocity: Tensor = backbone(noisy, timestep, conditions, self._rule(backbone, noisy))
        return velocity

    def _rule(self, backbone: Backbone, noisy: Tensor) -> AttentionRule:
        frames = noisy.shape[2]
        mask = block_causal_mask(frames, self.block) if self.spec.symmetric else None
        grid = backbone.transformer.config.grid(*noisy.shape[3:])
        return WholeClip(grid=grid, positions=tuple(range(frames)), mask=mask)
