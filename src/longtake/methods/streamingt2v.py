"""StreamingT2V (Henschel et al., arXiv 2403.14773): clips that each show again the end of the one before, and go on.

A clip is denoised whole; its first frames re-synthesise the last ones of the video and are thrown away, the rest is
new. Short-term memory (CAM) tells it those last frames, long-term memory (APM) what the video began with. The first
clip has neither. Every clip starts from noise of its own, published so: the frames that two clips share do not share
their noise.

The network is behind `Network`: a 3-D UNet (`unet_network.py`), or a transformer (`wan_network.py`). Lengths are latent
frames; on a codec whose first latent frame is one pixel frame the first clip is one latent frame longer than it adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor

from longtake.errors import UserError
from longtake.memory import AnchorContext, Memory
from longtake.memory.apm import Apm
from longtake.methods import Conditions, Kind, MethodState, Plan
from longtake.models.wan import TextContext
from longtake.sampling import OnStep, Sampler
from longtake.sampling.guidance import stack_texts
from longtake.sampling.noise import NoiseSource


class Network(Protocol):
    """What the method asks of a network: what it reads, once for all steps, and what it predicts, at every step."""

    def context(self, text: TextContext, tokens: Tensor | None) -> TextContext:
        """What cross-attention reads of a prompt, mixed with an anchor's tokens `[1, I, C]` where there are some."""
        ...

    def predict(
        self, latents: Tensor, timestep: Tensor, text: TextContext, features: Tensor | None
    ) -> Tensor:
        """What the sampler wants to know of `latents [B, C, T, h, w]` at `timestep [B, T]`; float32 on the CPU.

        features: of the frames before, `[1, C, P, h, w]`, for the whole batch; None where nothing comes before.
        """
        ...


class Lengths(NamedTuple):
    """Latent frames."""

    first: int
    """Of the first clip."""
    clip: int
    """Of every other."""
    shared: int
    """Of these, what shows again the end of the video; thrown away."""


class Memories(NamedTuple):
    """What a take remembers."""

    memory: Memory
    """All of it."""
    anchors: Apm | None
    """The part with the anchors, where there is one."""


class _Ready(NamedTuple):
    """Branches of guidance, made for these very objects."""

    text: TextContext
    null: TextContext | None
    anchor: AnchorContext | None
    branches: Branches


class Branches(NamedTuple):
    """A linear combination of predictions."""

    weights: tuple[float, ...]
    text: TextContext
    """What each branch reads, side by side in the batch."""

    def combine(self, predicted: Tensor) -> Tensor:
        """`[B, …]` → `[1, …]`."""
        weights = predicted.new_tensor(self.weights).view(-1, *[1] * (predicted.ndim - 1))
        return (weights * predicted).sum(0, keepdim=True)


@dataclass(kw_only=True, slots=True)
class StreamingState(MethodState):
    """Beside what every method has: the branches in force, made anew when prompt or anchor change."""

    ready: _Ready | None = field(default=None, repr=False)
    """Not in snapshots; it follows from the rest."""


@dataclass(frozen=True, kw_only=True)
class StreamingT2V:
    """See the module's text."""

    network: Network
    sampler: Sampler
    lengths: Lengths
    start_memory: Callable[[tuple[int, int, int]], Memories]
    """The memory of a take whose latent frames have this shape, `(C, H, W)`."""
    guidance_scale: float = 1.0
    """Weight of the text, ω_text."""
    anchor_scale: float | None = None
    """Weight of the anchor, ω_anchor; None: that of the text, which saves a branch."""
    needs_past: bool = True
    """Whether clips go on from short-term memory, so that there must be one."""

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
        memory, anchors = self.start_memory(latent_shape)
        return StreamingState(latent_shape=latent_shape, memory=memory, anchors=anchors)

    def next(self, position: int, total: int | None) -> Plan:
        """See `Method.next`."""
        if not position:
            first = range(self.lengths.first)
            return Plan(denoise=first, final=first)
        start = position - self.lengths.shared
        stop = start + self.lengths.clip
        return Plan(denoise=range(max(0, start), stop), final=range(position, stop))

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """See `Method.denoise`. Raises UserError when the clip to go on from is too short."""
        assert isinstance(state, StreamingState)
        past = state.memory.read(plan.denoise, conditions.text)
        goes_on = plan.final.start > 0
        if goes_on and self.needs_past and past.features is None:
            raise UserError(
                f"the clip to go on from is too short: {self.lengths.shared} latent frames of it are shown again; "
                "give a longer one"
            )
        branches = self._branches(conditions, past.anchor, state)

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            count = len(branches.weights)
            many, times = latents.expand(count, -1, -1, -1, -1), timestep.expand(count, -1)
            return branches.combine(self.network.predict(many, times, branches.text, past.features))

        frames = self._noise_frames(plan)
        latents = self.sampler.advance(predict, noise, frames, state.latent_shape, on_step, conditions.given)
        return latents[:, :, -len(plan.final) :]

    def _noise_frames(self, plan: Plan) -> range:
        """Numbers of a clip's frames in the noise: all clips one after the other, nothing shared."""
        first, clip, shared = self.lengths
        if not plan.final.start:
            return range(first)
        clips = (plan.final.start - first) // (clip - shared)
        start = max(0, first + clips * clip)
        return range(start, start + clip)

    def _branches(
        self, conditions: Conditions, anchor: AnchorContext | None, state: StreamingState
    ) -> Branches:
        text, null = conditions.text, conditions.null_text
        ready = state.ready
        if (
            ready is None
            or ready.text is not text
            or ready.null is not null
            or not _same(ready.anchor, anchor)
        ):
            made = self._combination(text, null, anchor)
            state.ready = ready = _Ready(text, null, anchor, made)
        return ready.branches

    def _combination(
        self, text: TextContext, null: TextContext | None, anchor: AnchorContext | None
    ) -> Branches:
        """`ε(∅,a∅) + ω_text·[ε(τ,a∅) − ε(∅,a∅)] + ω_anchor·[ε(τ,a) − ε(τ,a∅)]`, branches of weight 0 left out.

        With equal weights that is guidance in two branches, as released (equation 12 of the paper).
        """
        of_text = 1.0 if null is None else self.guidance_scale
        of_anchor = of_text if self.anchor_scale is None else self.anchor_scale
        terms: list[tuple[float, TextContext | None, Tensor | None]]
        if anchor is None:
            terms = [(1 - of_text, null, None), (of_text, text, None)]
        else:
            terms = [
                (1 - of_text, null, anchor.null),
                (of_text - of_anchor, text, anchor.null),
                (of_anchor, text, anchor.tokens),
            ]
        kept = [
            (weight, self.network.context(prompt, tokens))
            for weight, prompt, tokens in terms
            if weight and prompt is not None
        ]
        return Branches(tuple(weight for weight, _ in kept), stack_texts(*[context for _, context in kept]))


def _same(one: AnchorContext | None, two: AnchorContext | None) -> bool:
    if one is None or two is None:
        return one is two
    return one.tokens is two.tokens
