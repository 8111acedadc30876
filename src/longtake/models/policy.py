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
