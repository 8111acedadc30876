"""How a checkpoint gets from noise to clean latents, as data: step lists belong to the weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from longtake.models.data import Data


def _falling(steps: tuple[float, ...]) -> tuple[float, ...]:
    falls = all(a > b for a, b in pairwise(steps))
    if steps and not (falls and steps[0] <= 1000 and steps[-1] >= 0):
        raise ValueError(f"step list {list(steps)} must fall, from at most 1000 to 0 at the lowest")
    return steps


Steps = Annotated[tuple[float, ...], AfterValidator(_falling)]
"""Timesteps, noisiest first; possibly none."""
StepList = Annotated[Steps, Field(min_length=1)]
"""Timesteps, noisiest first."""


class OdeSpec(Data):
    """Steps along the flow ODE."""

    kind: Literal["ode"]
    num_inference_steps: PositiveInt
    shift: PositiveFloat
    order: Literal[1, 2] = 1
    """1: Euler's steps. 2: Adams and Bashforth's, closer to the curve with few steps."""
    first_num_inference_steps: PositiveInt | None = None
    """Steps of the take's first block, which has no past to lean on; as many as the others unless given."""


class Listed(Data):
    """What every sampler of a distilled model has."""

    steps: StepList
    """Step list as published."""
    shift: PositiveFloat
    """Shift of the schedule."""
    warp: bool
    """Whether the steps are nominal and must be moved onto the shifted schedule."""
    also: tuple[StepList, ...] = ()
    """Other step lists that the checkpoint was made for."""


class FewStepSpec(Listed):
    """A distilled model's own step list, block after block."""

    kind: Literal["few-step"]
    first_steps: Steps = ()
    """Step list of the take's first block, where it has one of its own (Causal-Forcing++)."""


class RollingSpec(Listed):
    """A joint window with a block at every level of the step list (Rolling Forcing)."""

    kind: Literal["rolling"]


class StreamBatchSpec(Listed):
    """The steps are rows of one batch, each at work on another block (StreamDiffusionV2)."""

    kind: Literal["stream-batch"]


class DdimSpec(Data):
    """DDIM steps, for networks trained on Stable Diffusion's schedule."""

    kind: Literal["ddim"]
    num_inference_steps: Annotated[int, Field(ge=1, le=500)]
    eta: float = Field(default=0.0, ge=0, le=1)
    """Noise that a step adds; 1 is ancestral sampling."""
    prediction: Literal["epsilon", "v"] = "epsilon"
    """What the network predicts."""

    @property
    def shift(self) -> float:
        """The schedule has none."""
        return 1.0


SamplerSpec = Annotated[
    OdeSpec | FewStepSpec | RollingSpec | StreamBatchSpec | DdimSpec, Field(discriminator="kind")
]


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
