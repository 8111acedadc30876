"""Clip after clip, each beginning with the end of the one before: the plain ways to make a clip model go on.

From the last latent frames, carried on as they are (Emu Video's extension, arXiv 2311.10709; with clean context it is
diffusion forcing's rollout too, arXiv 2407.01392), or from the last pixel frame, as any image-to-video model can (the
naive baseline of long-video papers: every join goes through the codec, so errors add up).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from longtake.memory.build import FirstFrames
from longtake.memory.tail import Tail
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.methods.network import brought, predictor
from longtake.models.codec import frames_for_latents
from longtake.models.wan import WanTransformer
from longtake.sampling import OnStep, Sampler
from longtake.sampling.guidance import guided
from longtake.sampling.noise import NoiseSource


@dataclass(frozen=True, kw_only=True)
class Chained:
    """See the module's text. Within a clip every frame sees every other."""

    backbone: WanTransformer
    sampler: Sampler
    frames: int
    """Latent frames of a clip."""
    shared: int = 1
    """Latent frames of a clip that are those of the one before; not used with `codec`."""
    codec: FirstFrames | None = None
    """Given, clips go on from the last pixel frame, encoded by it."""
    guidance_scale: float = 1.0

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
        memory = Tail(frames=self.shared, encode=self.codec.encode if self.codec else None)
        return MethodState(latent_shape=latent_shape, memory=memory)

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        if self.codec is not None:
            clip = range(position, position + self.frames)
            count = frames_for_latents(self.frames, self.codec.temporal_stride)
            shown = (1, count) if position else None  # the first is the last of the clip before
            return Plan(denoise=clip, final=clip, fresh=position > 0, shown=shown)
        start = max(0, position - self.shared)
        return Plan(denoise=range(start, start + self.frames), final=range(position, start + self.frames))

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`."""
        prefix, given = state.memory.read(plan.denoise, conditions.text).prefix, conditions.given
        given = given if prefix is None else replace(given, prefix=prefix)
        noise, given = brought(self.backbone, noise, given)
        velocity = guided(
            predictor(self.backbone), conditions.text, conditions.null_text, self.guidance_scale
        )
        latents = self.sampler.advance(velocity, noise, plan.denoise, state.latent_shape, on_step, given)
        return latents[:, :, len(plan.denoise) - len(plan.final) :]
