"""Long video by overlapping rollouts (CausVid, arXiv 2412.07772).

A checkpoint that makes no more than R latent frames begins again and again, each time from the last few of them. Those
are decoded twice, at the end of one rollout and at the start of the next; the second is what is shown. Latent frames
are counted through all rollouts, R of them a rollout, so that none shares its noise with another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from longtake.memory.build import FirstFrames
from longtake.memory.overlap import OverlapMemory
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.methods.causal import Causal
from longtake.models.codec import frames_for_latents
from longtake.sampling import OnStep
from longtake.sampling.noise import NoiseSource


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """See the module's text. A rollout starts with what it is given, block by block, and no step is spent on that."""

    rollout: Causal
    """What makes one rollout."""
    frames: int
    """R, latent frames of a rollout; whole blocks."""
    shared: int
    """Latent frames of two rollouts in a row; whole blocks."""
    codec: FirstFrames
    """Encodes the pixel frame that a rollout begins from."""

    @property
    def kind(self) -> Kind:
        """See `Method.kind`."""
        return Kind.AUTOREGRESSIVE

    @property
    def limit(self) -> int | None:
        """See `Method.limit`. There is no end."""
        return None

    def start(self, latent_shape: tuple[int, int, int]) -> MethodState:
        """See `Method.start`."""
        memory = OverlapMemory(
            self.rollout.start(latent_shape).memory,
            rollout=self.frames,
            shared=self.shared,
            encode=self.codec.encode,
            temporal_stride=self.codec.temporal_stride,
        )
        return MethodState(latent_shape=latent_shape, memory=memory)

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        rollout, local = divmod(position, self.frames)
        block = range(position, position + self.rollout.policy.block)
        begin, end = self._pixels(local), self._pixels(local + len(block))
        last = self._pixels(self.frames) - self._pixels(self.shared)
        return Plan(
            denoise=block,
            final=block,
            fresh=rollout > 0 and local == 0,
            shown=None if end <= last else (0, max(0, last - begin)),
        )

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`."""
        rollout, local = divmod(plan.final.start, self.frames)
        if rollout and local < self.shared:
            return cast(OverlapMemory, state.memory).carried[:, :, local : local + len(plan.final)]
        return self.rollout.denoise(plan, noise, conditions, state, on_step)

    def _pixels(self, latents: int) -> int:
        """Pixel frames of the first `latents` latent frames of a rollout."""
        return frames_for_latents(latents, self.codec.temporal_stride) if latents else 0
