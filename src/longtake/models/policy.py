"""How a checkpoint streams, as data: what belongs to its weights and to nobody else's.

A preset carries one `Policy`; `longtake.methods.build` turns it into a method with its memory and sampler.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class Data(BaseModel):
    """Base of everything that is read from a preset: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OdeSpec(Data):
    """Euler steps along the flow ODE."""

    kind: Literal["ode"]
    num_inference_steps: PositiveInt
    shift: PositiveFloat


class FewStepSpec(Data):
    """A distilled model's own step list."""

    kind: Literal["few-step"]
    steps: tuple[float, ...]
    shift: PositiveFloat
    warp: bool
    first_steps: tuple[float, ...] = ()
    """Step list of the take's first block, where it has one of its own."""


class SourceSpec(Data):
    """How a checkpoint is given a source video."""

    strength: float = Field(default=0.7, gt=0, le=1)
    """How much of the source is replaced by noise, unless the user says."""
    raw: bool = False
    """Whether it was trained on latents that are not normalised by the codec's mean and spread."""
    begin_below: float | None = Field(default=None, ge=0)
    """The first step is taken so many timesteps below 1000·strength; None: at a step of the list."""
    motion: bool = False
    """Whether the strength falls with motion in the source (StreamDiffusionV2's noise controller)."""


class Policy(Data):
    """How a checkpoint streams."""

    block: PositiveInt
    """Latent frames made together."""
    window: PositiveInt
    """Latent frames that attention sees, sink and block included."""
    sink: int = Field(ge=0)
    """First latent frames, kept for ever."""
    context_timestep: float = Field(default=0.0, ge=0, le=1000)
    """Timestep of the pass that writes a finished block into the cache."""
    guidance_scale: PositiveFloat = 1.0
    sampler: Annotated[OdeSpec | FewStepSpec, Field(discriminator="kind")]
    first_frame: Literal["prefix", "alone", "repeat"] | None = None
    """How an image begins a take: known first frame of the first block ("prefix"), a block by itself before all
    others ("alone"), repeated until it fills the first block ("repeat"); None: the checkpoint takes no image."""
    source: SourceSpec | None = SourceSpec()
    """How a source video is given; None: it takes none."""
    interpolate: PositiveInt = 1
    """Chunks over which a changed prompt is blended in when the cue has no transition of its own."""
