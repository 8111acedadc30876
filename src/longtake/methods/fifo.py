"""A queue of frames at rising noise levels, front to back (FIFO-Diffusion, arXiv 2405.11473); training-free.

Each turn denoises every frame of the queue by one step, takes the clean one from the front and puts pure noise at the
back; so memory is constant and a chunk is one latent frame. The queue has as many frames as the sampler has steps, and
goes through the network in clips of the length that it was trained on. It begins with a clip made in the ordinary way,
noised to the queue's levels. Without the published "lookahead", which doubles the work.

Shapes: N frames in the queue, each `[1, C, 1, H, W]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.memory.nothing import Nothing
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.methods.network import predictor
from longtake.models.wan import WanTransformer
from longtake.sampling import Denoise, OnStep
from longtake.sampling.guidance import guided
from longtake.sampling.noise import MovedNoise, NoiseSource, Purpose
from longtake.sampling.ode import FlowODE
from longtake.sampling.schedule import FlowSchedule


@dataclass(frozen=True, kw_only=True)
class Fifo:
    """See the module's text. A new prompt acts on all frames in the queue."""

    backbone: WanTransformer
    sampler: FlowODE
    """Makes the first clip; its shift is the queue's too."""
    frames: int
    """Latent frames of a clip."""
    clips: int = 1
    """Clips in the queue."""
    guidance_scale: float = 1.0

    @property
    def kind(self) -> Kind:
        """See `Method.kind`."""
        return Kind.QUEUE

    @property
    def limit(self) -> int | None:
        """See `Method.limit`. There is no end."""
        return None

    @property
    def length(self) -> int:
        """N, frames in the queue and steps of each."""
        return self.frames * self.clips

    def start(self, latent_shape: tuple[int, int, int]) -> MethodState:
        """See `Method.start`."""
        return MethodState(latent_shape=latent_shape, memory=Nothing())

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        return Plan(denoise=range(position, position + self.length), final=range(position, position + 1))

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`. The queue is `state.flight["queue"]`, `[1, C, N − 1, H, W]` between turns."""
        device = self.backbone.device
        noise = MovedNoise(noise, device)
        velocity = guided(
            predictor(self.backbone), conditions.text, conditions.null_text, self.guidance_scale
        )
        levels = (
            torch.tensor(FlowSchedule(self.sampler.shift).uniform(self.length)).flip(0).float().to(device)
        )
        queue = state.flight.get("queue")
        if queue is None:
            queue = self._first(plan, noise, velocity, levels[1:], state, on_step)
        else:
            fresh = noise(Purpose.INITIAL, plan.denoise[-1:], 0, state.latent_shape)
            queue = torch.cat([queue.to(device), fresh], 2)
        step = self._velocity(velocity, queue, 1000 * levels[1:]) * (levels[:-1] - levels[1:])[:, None, None]
        queue = queue + step
        state.flight = {"queue": queue[:, :, 1:].contiguous()}
        clean = queue[:, :, :1]
        lowest = FlowSchedule(self.sampler.shift).uniform(self.length)[-2]
        return on_step(0, 1000 * lowest, clean) if on_step else clean

    def _first(
        self,
        plan: Plan,
        noise: NoiseSource,
        velocity: Denoise,
        levels_N: Tensor,
        state: MethodState,
        on_step: OnStep | None,
    ) -> Tensor:
        """A clip at the queue's noise levels; frames in front of the clip's are copies of its first."""
        clip = self.sampler.advance(velocity, noise, range(self.frames), state.latent_shape, on_step)
        copies = clip[:, :, :1].expand(-1, -1, self.length - self.frames, -1, -1)
        clean = torch.cat([copies, clip], 2)
        drawn = noise(Purpose.RENOISE, plan.denoise, 0, state.latent_shape)
        sigma = levels_N[:, None, None]
        return (1 - sigma) * clean + sigma * drawn

    def _velocity(self, velocity: Denoise, queue: Tensor, timestep_N: Tensor) -> Tensor:
        """Clip by clip through the network."""
        parts = [
            velocity(queue[:, :, start : start + self.frames], timestep_N[None, start : start + self.frames])
            for start in range(0, self.length, self.frames)
        ]
        return torch.cat(parts, 2).float()
