"""How a checkpoint streams, as data: what belongs to its weights and to nobody else's.

A preset carries one `Policy`; `longtake.methods.build` turns it into a method with its memory and sampler. Its parts
are independent of each other wherever the mathematics allows: what attention sees (`windows.py`), where in time it
stands, how a finished block is remembered, what a changed prompt does to the past, and the sampler (`steps.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from longtake.models.data import Data
from longtake.models.rollouts import Fifo, Overlap, RolloutSpec, Streaming, Tail, Windows
from longtake.models.steps import FewStepSpec, OdeSpec, RollingSpec, SamplerSpec, SourceSpec, StreamBatchSpec
from longtake.models.windows import AdaptiveWindow, ClipWindow, RecomputeWindow, RollingWindow, WindowSpec

__all__ = [
    "Absolute",
    "CleanPass",
    "Data",
    "FewStepSpec",
    "Interpolate",
    "NoPass",
    "OdeSpec",
    "Overlap",
    "Policy",
    "Recache",
    "Relative",
    "Reset",
    "Restart",
    "RollingSpec",
    "SamplerSpec",
    "SourceSpec",
    "StreamBatchSpec",
    "WindowSpec",
]

FirstFrameEntry = Literal["prefix", "alone", "repeat", "beside"]
PolicyKind = Literal["causal", "joint", "rolling", "stream-batch"]


class Absolute(Data):
    """Every latent frame stands at its own index; the table of the network ends the take."""

    kind: Literal["absolute"]
    restart_at: PositiveInt | None = None
    """A block that would start at this index or later starts at `window.frames − 1` instead, again and again;
    frames that are remembered keep theirs (StreamDiffusionV2)."""


class Relative(Data):
    """Counted inside the window, anew for each block: unbounded in length."""

    kind: Literal["relative"]


class Restart(Data):
    """Counted from 0 in a context that is computed anew for each block."""

    kind: Literal["restart"]


class CleanPass(Data):
    """A finished block goes through the network once more, and its keys and values are remembered."""

    kind: Literal["clean"]
    timestep: float = Field(default=0.0, ge=0, le=1000)
    """Timestep of that pass."""


class NoPass(Data):
    """What the last denoising step computed is remembered, at its noise level."""

    kind: Literal["none"]


class Reset(Data):
    """Only cross-attention changes; what is remembered of the past keeps the old prompt in it."""

    kind: Literal["reset"]


class Recache(Data):
    """What is remembered is computed anew from its clean latents under the new prompt (LongLive)."""

    kind: Literal["recache"]
    keep_sink: bool
    """Whether the sink keeps the old prompt, once the take is longer than the window."""
    causal: bool = False
    """Whether the frames see only the past in that pass; published: they see each other."""


class Interpolate(Data):
    """The new prompt is blended in over some chunks (Krea)."""

    kind: Literal["interpolate"]
    chunks: PositiveInt
    """How many."""


class Policy(Data):
    """How a checkpoint streams."""

    block: PositiveInt
    """Latent frames made together."""
    window: WindowSpec
    """What attention sees of the past."""
    position: Annotated[Absolute | Relative | Restart, Field(discriminator="kind")] = Absolute(
        kind="absolute"
    )
    """Where in time the frames stand that attention sees."""
    context: Annotated[CleanPass | NoPass, Field(discriminator="kind")] = CleanPass(kind="clean")
    """How a finished block gets into the memory."""
    prompt_change: Annotated[Reset | Recache | Interpolate, Field(discriminator="kind")] = Reset(kind="reset")
    """What a new prompt does to the past."""
    attention_bias: float = Field(default=1.0, ge=0.01, le=1)
    """Weight of the past in self-attention while denoising, but for its first frame; 1 is off (Krea)."""
    rollout: RolloutSpec | None = None
    """How a take goes on after the limit of a clip or a window; None: it ends there."""
    limit: PositiveInt | None = None
    """Most latent frames of one rollout; a window that keeps everything is a limit by itself."""
    trained: PositiveInt | None = None
    """Latent frames of the clips that it was trained on, when it can make more but grows worse."""
    guidance_scale: PositiveFloat = 1.0
    """Strength of classifier-free guidance; 1 is off."""
    guidance_until: float = Field(default=0.0, ge=0, lt=1)
    """Noise level σ below which guidance is left out; 0: nowhere."""
    sampler: SamplerSpec
    """From noise to clean latents."""
    first_frame: FirstFrameEntry | None = None
    """How an image begins a take: known first frame of the first block ("prefix"), a block by itself before all
    others ("alone"), repeated until it fills the first block ("repeat"); or as channels beside the latents and as
    image tokens, which the checkpoint cannot do without ("beside"). None: the checkpoint takes no image."""
    last_frame: bool = False
    """Whether an image may end the clip too, which goes with "beside"."""
    source: SourceSpec | None = SourceSpec()
    """How a source video is given; None: it takes none."""

    @property
    def kind(self) -> PolicyKind:
        """Which method the policy is for."""
        if isinstance(self.window, ClipWindow):
            return "joint"
        if isinstance(self.sampler, RollingSpec | StreamBatchSpec):
            return self.sampler.kind
        return "causal"

    @property
    def interpolate(self) -> int:
        """Chunks over which a changed prompt is blended in when the cue has no transition of its own."""
        return self.prompt_change.chunks if isinstance(self.prompt_change, Interpolate) else 1

    def longest(self, table: int) -> int | None:
        """Most latent frames of one rollout, whole blocks, when positions end at `table`; None: no end."""
        ends = [self.limit, self.window.capacity]
        if isinstance(self.position, Absolute) and self.position.restart_at is None:
            ends.append(table)
        bounds = [end for end in ends if end is not None]
        return min(bounds) // self.block * self.block if bounds else None

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        needed = self.window.sink + self.block
        if self.window.frames < needed and not isinstance(self.window, RecomputeWindow):
            raise ValueError(
                f"window {self.window.frames} cannot hold sink {self.window.sink} and block {self.block}; "
                f"use a window of {needed} or more"
            )
        if isinstance(self.window, ClipWindow) and self.block != self.window.frames:
            raise ValueError(f"a clip of {self.window.frames} is one block, not of {self.block}")
        if isinstance(self.window, RecomputeWindow) != isinstance(self.position, Restart):
            raise ValueError("window 'recompute' and position 'restart' go together; use both or neither")
        return self

    @model_validator(mode="after")
    def _check_memory(self) -> Self:
        cached = not isinstance(self.window, ClipWindow | RecomputeWindow)
        if isinstance(self.prompt_change, Recache) and not (cached and isinstance(self.context, CleanPass)):
            raise ValueError(
                f"recache needs a cache that clean passes fill, not window {self.window.kind!r} with context "
                f"{self.context.kind!r}; use prompt_change 'reset'"
            )
        if isinstance(self.prompt_change, Recache) and isinstance(self.window, AdaptiveWindow):
            raise ValueError("recache does not know an adaptive sink; use prompt_change 'reset'")
        if isinstance(self.context, NoPass) and not cached:
            raise ValueError(f"window {self.window.kind!r} has no cache; leave context out")
        if isinstance(self.sampler, StreamBatchSpec) and not isinstance(self.context, NoPass):
            raise ValueError("a stream batch remembers what it denoises; use context 'none'")
        return self

    @model_validator(mode="after")
    def _check_guidance(self) -> Self:
        if self.guidance_until and (self.kind != "causal" or isinstance(self.context, NoPass)):
            raise ValueError(
                "guidance_until is known to causal policies with a clean pass alone; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _check_adaptive_sink(self) -> Self:
        if not isinstance(self.window, AdaptiveWindow):
            return self
        if self.block != 1:
            raise ValueError(f"an adaptive sink takes one frame at a time; use block 1, not {self.block}")
        if not isinstance(self.position, Absolute):
            raise ValueError("an adaptive sink has no order in time; use position 'absolute'")
        return self

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if isinstance(self.sampler, RollingSpec):
            flight = self.window.sink + self.block * len(self.sampler.steps)
            if not isinstance(self.window, RollingWindow) or self.window.frames < flight:
                raise ValueError(
                    f"sampler 'rolling' needs a rolling window of {flight} or more: its sink and a block a step"
                )
        return self

    @model_validator(mode="after")
    def _check_pictures(self) -> Self:
        if self.first_frame == "beside" and (self.kind != "joint" or self.rollout is not None):
            raise ValueError("first_frame 'beside' goes with window 'clip' and no rollout")
        if self.last_frame and self.first_frame != "beside":
            raise ValueError("last_frame goes with first_frame 'beside'; leave it out")
        return self

    @model_validator(mode="after")
    def _check_rollout(self) -> Self:
        rollout = self.rollout
        if rollout is None:
            return self
        if isinstance(rollout, Overlap) != (self.kind == "causal"):
            raise ValueError(
                f"rollout {rollout.kind!r} does not go with window {self.window.kind!r}: 'overlap' is for causal "
                "models, the others for window 'clip'"
            )
        if isinstance(rollout, Overlap) and rollout.frames % self.block:
            raise ValueError(f"rollouts overlap by whole blocks of {self.block}, not {rollout.frames}")
        if isinstance(rollout, Streaming) and rollout.shared >= self.block:
            raise ValueError(f"a clip of {self.block} cannot show {rollout.shared} frames again; use fewer")
        if isinstance(rollout, Tail) and rollout.frames >= self.block:
            raise ValueError(f"a clip of {self.block} cannot carry on {rollout.frames} frames; use fewer")
        if isinstance(rollout, Fifo) and not isinstance(self.sampler, OdeSpec):
            raise ValueError(f"rollout 'fifo' needs sampler 'ode', not {self.sampler.kind!r}")
        if isinstance(rollout, Windows) and rollout.stride > self.block:
            raise ValueError(
                f"windows of {self.block} every {rollout.stride} frames leave gaps; use a smaller stride"
            )
        return self
