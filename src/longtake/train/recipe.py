"""What the training loop asks of a recipe, with a critic or without, and whom it tells how the run goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from longtake.train.config import OptimiserConfig, Stage

__all__ = ["Adversarial", "Recipe", "Report"]


class Recipe(Protocol):
    """What a training file gives to the loop."""

    @property
    def stages(self) -> Sequence[Stage]:
        """Stretches of training, in order."""
        ...

    @property
    def networks(self) -> nn.Module:
        """What is trained: those of its parameters that require a gradient."""
        ...

    def loss(self, stage: Stage, step: int) -> Tensor:
        """The loss of one part of an update, a function of the weights, `stage` and `step` alone.

        Parts are numbered through: where an update is one part, this is the number of the update.
        """
        ...

    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Figures on held-out data with the averaged weights."""
        ...

    def sample(self, weights: Mapping[str, Tensor], frames: int, path: Path) -> None:
        """Write a sheet of samples as PNG."""
        ...

    def shards(self) -> tuple[str, ...]:
        """Data in use."""
        ...

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Use exactly these data; None means all that there are now."""
        ...


@runtime_checkable
class Adversarial(Recipe, Protocol):
    """A recipe with a critic, and with state that its losses change (a live rollout)."""

    @property
    def critic(self) -> nn.Module:
        """The second network that is trained."""
        ...

    @property
    def critic_optimiser(self) -> OptimiserConfig:
        """What trains it."""
        ...

    @property
    def ratio(self) -> int:
        """Steps to one update of `networks`; the first step has one."""
        ...

    def critic_loss(self, stage: Stage, step: int) -> Tensor:
        """The critic's loss of one step, after `loss` where the step has both."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What the next step depends on beside weights and its number."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        ...


class Report(Protocol):
    """Who is told how the run goes."""

    def record(self, record: Mapping[str, object]) -> None:
        """A line of the log."""
        ...
