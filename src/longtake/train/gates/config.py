"""What a gate measures and expects. Expectations are data: a chain's YAML holds them, found by runs that went well."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from longtake.measure.frechet import LEAST
from longtake.train.gates.figures import FIGURES
from longtake.train.recipe_file import Strict

__all__ = ["Band", "GateConfig"]

Bounds = Annotated[str, Field(pattern=r"^(>=|<=) -?\d+(\.\d+)?$")]
"""`>= x` or `<= x`."""


class Band(Strict):
    """Where a curve of the log is expected to be."""

    figure: str = "loss"
    """A figure of the log's `train` lines, `critic_loss` for one."""
    points: dict[PositiveInt, tuple[float, float]]
    """Least and greatest smoothed value at steps of the stage; steps that the run never reached are left out."""

    @model_validator(mode="after")
    def _in_order(self) -> Band:
        wrong = [step for step, (low, high) in self.points.items() if low > high]
        if not self.points or wrong:
            raise ValueError(
                f"points {wrong or self.points}: give steps with a least and a greatest value each"
            )
        return self


class GateConfig(Strict):
    """A stage's gate; without anything asked it only reports."""

    prompts: PositiveInt = 16
    """Held-out prompts that takes are made of."""
    level: Annotated[int, Field(ge=1, le=3)] = 1
    """Toybox level of the prompts."""
    seconds: PositiveFloat = 4.0
    """Length of each take; shorter where the stage's model makes no more."""
    curves: tuple[Band, ...] = ()
    """Expected courses of the log."""
    asked: dict[str, Bounds] = {}
    """What is asked of a figure; see `figures.FIGURES`. One that cannot be measured is not met."""

    @model_validator(mode="after")
    def _known(self) -> GateConfig:
        unknown = sorted(set(self.asked) - set(FIGURES))
        if unknown:
            raise ValueError(f"asked: {', '.join(unknown)} unknown; known are {', '.join(FIGURES)}")
        if "proxy_fvd" in self.asked and self.prompts < LEAST:
            raise ValueError(f"asked: proxy_fvd needs prompts {LEAST} at least, {self.prompts} given")
        return self
