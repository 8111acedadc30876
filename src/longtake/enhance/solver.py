"""From one noise level to the next, given the predicted clean latents. Frame by frame: no frame sees another here.

`h` is the gain in half log-SNR, λ = ln(α/σ): a step from level s to t has `exp(−h) = (α_s·σ_t)/(α_t·σ_s)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from longtake.enhance.levels import Level


class Solver(Protocol):
    """A rule for one step. What it remembers of the step before is `before`, the clean latents predicted there."""

    @property
    def is_random(self) -> bool:
        """Whether a step adds fresh noise."""
        ...

    def step(
        self,
        x: Tensor,
        x0: Tensor,
        before: Tensor | None,
        levels: Sequence[Level],
        step: int,
        noise: Tensor | None,
    ) -> Tensor:
        """Latents at `levels[step + 1]` from `x` at `levels[step]`, all of one shape. The last step gives `x0`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Ddim:
    """DDIM (arXiv 2010.02502) for any α and σ; with α = 1 − σ and eta 0 it is Euler's step of a flow."""

    eta: float = 0.0
    """0 adds no noise, 1 as much as ancestral sampling."""

    @property
    def is_random(self) -> bool:
        """See `Solver`."""
        return self.eta > 0

    def step(
        self,
        x: Tensor,
        x0: Tensor,
        before: Tensor | None,
        levels: Sequence[Level],
        step: int,
        noise: Tensor | None,
    ) -> Tensor:
        """See `Solver.step`."""
        at, to = levels[step], levels[step + 1]
        if to.sigma == 0:
            return x0
        spread = self.eta * to.sigma * math.sqrt(max(0.0, 1 - decay(at, to) ** 2))
        predicted = (x - at.alpha * x0) / at.sigma
        moved = to.alpha * x0 + math.sqrt(to.sigma**2 - spread**2) * predicted
        return moved if noise is None else moved + spread * noise


@dataclass(frozen=True, kw_only=True, slots=True)
class DpmSde:
    """SDE-DPM-Solver++(2M), midpoint (arXiv 2211.01095): the published refiner's solver; noise at every step."""

    @property
    def is_random(self) -> bool:
        """See `Solver`."""
        return True

    def step(
        self,
        x: Tensor,
        x0: Tensor,
        before: Tensor | None,
        levels: Sequence[Level],
        step: int,
        noise: Tensor | None,
    ) -> Tensor:
        """See `Solver.step`."""
        at, to = levels[step], levels[step + 1]
        if to.sigma == 0:
            return x0
        assert noise is not None
        shrink = decay(at, to)
        kept = 1 - shrink**2
        clean = x0
        if before is not None:
            ratio = math.log(decay(levels[step - 1], at)) / math.log(shrink)
            clean = x0 + (x0 - before) / (2 * ratio)
        moved = to.sigma / at.sigma * shrink * x + to.alpha * kept * clean
        return moved + to.sigma * math.sqrt(kept) * noise


def decay(at: Level, to: Level) -> float:
    """`exp(−h)` of the step."""
    return (at.alpha * to.sigma) / (to.alpha * at.sigma)
