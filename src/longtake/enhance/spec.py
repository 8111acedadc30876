"""What belongs to an enhancer's weights and to nobody else's, as data: `enhancer.yaml` in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator

from longtake.enhance.blending import BLENDINGS
from longtake.enhance.levels import Level, flow_levels, scaled_linear_alphas, table_levels
from longtake.enhance.solver import Ddim, DpmSde, Solver
from longtake.errors import UserError
from longtake.models.data import Data
from longtake.models.hub import Native

SPEC_FILE = "enhancer.yaml"


class FlowSpec(Data):
    """Flow matching, Euler's steps."""

    kind: Literal["flow"] = "flow"
    shift: PositiveFloat = 1.0
    """Shift of the levels; belongs to the weights."""
    prediction: Literal["velocity", "sample"] = "velocity"
    """What the network predicts: noise − clean latents, or the clean latents themselves."""

    def levels(self, strength: float, steps: int) -> list[Level]:
        """See `levels.flow_levels`."""
        return flow_levels(strength, steps, self.shift)

    @property
    def solver(self) -> Solver:
        """What makes the steps."""
        return Ddim()


class DdimSpec(Data):
    """Stable Diffusion's schedule, as ModelScope and zeroscope have it; DDIM."""

    kind: Literal["ddim"]
    eta: float = Field(default=0.0, ge=0, le=1)
    prediction: Literal["epsilon", "v"] = "epsilon"
    """What the network predicts."""

    def levels(self, strength: float, steps: int) -> list[Level]:
        """See `levels.table_levels`."""
        return table_levels(scaled_linear_alphas(), strength, steps)

    @property
    def solver(self) -> Solver:
        """What makes the steps."""
        return Ddim(eta=self.eta)


class DpmSpec(Data):
    """The published refiner's schedule, zero terminal SNR; SDE-DPM-Solver++(2M)."""

    kind: Literal["dpm-sde"]
    prediction: Literal["epsilon", "v"] = "v"
    """What the network predicts."""

    def levels(self, strength: float, steps: int) -> list[Level]:
        """See `refiner_levels.refiner_levels`."""
        from longtake.enhance.refiner_levels import refiner_levels

        return refiner_levels(strength, steps)

    @property
    def solver(self) -> Solver:
        """What makes the steps."""
        return DpmSde()


class EnhancerSpec(Data):
    """An enhancer's checkpoint."""

    name: str
    summary: str = ""
    licence: str
    non_commercial: bool | None = False
    """Whether the licence forbids commercial use; None where its owners do not say."""
    backbone: Literal["wan", "unet", "refiner"]
    """Which network it is."""
    native: Native
    """The picture that it was trained to make."""
    scale: PositiveInt = 2
    """How many times larger than its input that is, along each side."""
    window: PositiveInt
    """Latent frames of a window."""
    overlap: NonNegativeInt
    """Latent frames that windows are joined over."""
    steps: PositiveInt
    """Network evaluations of a window."""
    strength: float = Field(default=0.6, gt=0, le=1)
    """How much of the input is replaced by noise, unless the user says."""
    strengths: tuple[float, float] = (0.0, 1.0)
    """Strengths that it was trained for."""
    guidance_scale: float = Field(default=1.0, ge=1)
    """Strength of classifier-free guidance; 1 is off."""
    guidance_rescale: float = Field(default=0.0, ge=0, le=1)
    """How far guided predictions are brought back to their spread (arXiv 2305.08891); UNets only."""
    blending: Literal[tuple(BLENDINGS)] = "randomized"  # type: ignore[valid-type]
    """How windows are joined, unless the user says."""
    start_scale: PositiveFloat = 1.0
    """Factor on the noised input. The published refiner multiplies by σ of the first level; 1 is right in principle."""
    schedule: Annotated[FlowSpec | DdimSpec | DpmSpec, Field(discriminator="kind")] = FlowSpec()
    """Noise levels and solver."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.backbone == "wan") != isinstance(self.schedule, FlowSpec):
            raise ValueError(f"a {self.backbone!r} network does not go with schedule {self.schedule.kind!r}")
        return self


def read_spec(path: Path) -> EnhancerSpec:
    """Read an `enhancer.yaml`; UserError names the file, the field and what is wrong with it."""
    try:
        return EnhancerSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as reason:
        raise UserError(f"enhancer {path} cannot be read: {reason.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as reason:
        raise UserError(f"enhancer {path} is not valid YAML: {' '.join(str(reason).split())}") from None
    except ValidationError as reason:
        first = reason.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "enhancer"
        raise UserError(f"enhancer {path}: {field}: {first['msg']}") from None
