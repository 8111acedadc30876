"""The training loop: stages, checkpoints, averages, logs; the same for every recipe.

A recipe says what is trained and what a step's loss is; nothing random lives outside (seed, step), so a run that is
killed and resumed gives the same weights, bit for bit, as one that was not (same machine kind and thread count).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from longtake.errors import UserError
from longtake.train.checkpoint import (
    Position,
    checkpoints,
    load_checkpoint,
    remove_unfinished,
    save_checkpoint,
    select,
)
from longtake.train.config import OptimiserConfig, Stage
from longtake.train.log import RunLog
from longtake.train.optimise import Optimiser, WeightAverage, lr_factor

__all__ = ["Cadence", "Recipe", "Report", "Run", "stage_at"]


class Recipe(Protocol):
    """What a training file gives to the loop."""

    @property
    def stages(self) -> Sequence[Stage]:
        """Stretches of training, in order."""
        ...

    @property
    def networks(self) -> nn.Module:
        """What is trained."""
        ...

    def loss(self, stage: Stage, step: int) -> Tensor:
        """The loss of one step, a function of the weights, `stage` and `step` alone."""
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


class Report(Protocol):
    """Who is told how the run goes."""

    def record(self, record: Mapping[str, object]) -> None:
        """A line of the log."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """How often things happen besides steps."""

    checkpoint_minutes: float
    sample_minutes: float
    log_steps: int
    validate_steps: int


def stage_at(stages: Sequence[Stage], step: int) -> tuple[Stage, int]:
    """The stage of a step (counted from 0 over all stages) and the step's number within it."""
    for stage in stages:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    raise UserError(f"step lies beyond the last stage {stages[-1].name}; lengthen it or add a stage")


class Run:
    """One run in one folder."""

    def __init__(
        self, recipe: Recipe, folder: Path, optimiser: OptimiserConfig, cadence: Cadence, report: Report
    ) -> None:
        self.recipe, self.folder, self.config = recipe, folder, optimiser
        self.cadence, self.report = cadence, report
        self.named = dict(recipe.networks.named_parameters())
        self.optimiser = Optimiser(self.named, optimiser)
        self.average = WeightAverage(self.named, optimiser.ema_gamma)
        self.position = Position(stage=recipe.stages[0].name, shards=recipe.shards())
        self.log = RunLog(folder)

    @property
    def total(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.recipe.stages)

    def resume(self) -> bool:
        """Go on from the newest checkpoint; False when there is none."""
        remove_unfinished(self.folder)
        found = checkpoints(self.folder)
        if not found:
            return False
        self.position, tensors = load_checkpoint(found[-1])
        self._load(tensors, "weights", self.named)
        self._load(tensors, "average", self.average.values)
        self.optimiser.load(select(tensors, "optimiser"))
        self.recipe.use_shards(self.position.shards)
        self.log.cut(self.position.step)
        return True

    def restart_from(self, checkpoint: Path) -> None:
        """Begin anew at step 0, with the averaged weights of a checkpoint of any run of these networks."""
        _, tensors = load_checkpoint(checkpoint)
        self.begin_with(select(tensors, "average"), checkpoint)

    def begin_with(self, weights: Mapping[str, Tensor], source: Path) -> None:
        """Begin anew at step 0 with these weights. Raises UserError when they are of other networks."""
        self._take(weights, self.named, source)
        self.average = WeightAverage(self.named, self.config.ema_gamma)

    def train(
        self,
        *,
        max_minutes: float = math.inf,
        max_steps: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train until the stages are done, a limit is reached or `stop` says so; True when they are done.

        Ends with a checkpoint.
        """
        end = self.total if max_steps is None else min(self.total, self.position.step + max_steps)
        clock = _Clock(self.position.seconds)
        self.log.leg(self.position.step)
        due_save = _Timer(self.cadence.checkpoint_minutes)
        due_sample = _Timer(self.cadence.sample_minutes)
        window = _Window()
        while self.position.step < end and clock.minutes() < max_minutes and not stop():
            stage, within = stage_at(self.recipe.stages, self.position.step)
            window.add(*self._step(stage, within), stage.batch_size)
            self.position = replace(self.position, step=self.position.step + 1, seconds=clock.total())
            last = within + 1 == stage.steps
            if self.position.step % self.cadence.log_steps == 0 or last:
                self._note("train", stage, window.take())
            if self.position.step % self.cadence.validate_steps == 0 or last:
                self._note("validation", stage, self.recipe.validate(self.average.values, stage.frames))
            if due_sample() or last:
                self._sample(stage)
            if due_save() or last:
                self.save()
        self.save()
        return self.position.step >= self.total

    def _step(self, stage: Stage, within: int) -> tuple[float, float]:
        step, since = self.position.step, self.position.since_start
        loss = self.recipe.loss(stage, step)
        value = float(loss.detach())
        if not math.isfinite(value):
            good = next(iter(reversed(checkpoints(self.folder))), "none")
            raise UserError(
                f"the loss is {value} at step {step} of stage {stage.name}; last good checkpoint: {good}"
            )
        loss.backward()
        norm = self.optimiser.step(lr_factor(stage, within, since, self.config.warmup_steps))
        self.average.update(self.named, since + 1)
        self.position = replace(self.position, since_start=since + 1)
        return value, norm

    def save(self) -> Path:
        """Write a checkpoint, and from here on use the shards that are there now."""
        self.recipe.use_shards(None)
        step = min(self.position.step, self.total - 1)
        stage, _ = stage_at(self.recipe.stages, step)
        self.position = replace(self.position, stage=stage.name, shards=self.recipe.shards())
        return save_checkpoint(self.folder, self.position, self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        groups: dict[str, Mapping[str, Tensor]] = {
            "weights": self.named,
            "average": self.average.values,
            "optimiser": self.optimiser.state(),
        }
        return {
            f"{group}/{name}": value for group, tensors in groups.items() for name, value in tensors.items()
        }

    def _load(self, tensors: Mapping[str, Tensor], group: str, into: Mapping[str, Tensor]) -> None:
        self._take(select(tensors, group), into, self.folder)

    def _take(self, stored: Mapping[str, Tensor], into: Mapping[str, Tensor], source: Path) -> None:
        if {n: v.shape for n, v in stored.items()} != {n: v.shape for n, v in into.items()}:
            raise UserError(
                f"the weights in {source} are of other networks than the recipe; use the recipe they were made with"
            )
        for name, value in into.items():
            value.detach().copy_(stored[name])

    def _note(self, kind: str, stage: Stage, figures: Mapping[str, float]) -> None:
        record = {
            "kind": kind,
            "step": self.position.step,
            "of": self.total,
            "stage": stage.name,
            "seconds": round(self.position.seconds, 1),
            **{name: float(f"{value:.6g}") for name, value in figures.items()},
        }
        self.log.write(record)
        self.report.record(record)

    def _sample(self, stage: Stage) -> None:
        self.recipe.sample(
            self.average.values, stage.frames, self.folder / f"samples-{self.position.step:08d}.png"
        )
        self.log.plot()


class _Clock:
    """Seconds of this leg, on top of those of earlier ones."""

    def __init__(self, before: float, now: Callable[[], float] = time.monotonic) -> None:
        self.before, self.now, self.began = before, now, now()

    def minutes(self) -> float:
        return (self.now() - self.began) / 60

    def total(self) -> float:
        return self.before + self.now() - self.began


class _Timer:
    """True once whenever so many minutes have passed."""

    def __init__(self, minutes: float) -> None:
        self.seconds, self.last = minutes * 60, time.monotonic()

    def __call__(self) -> bool:
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


class _Window:
    """Means over the steps between two lines of the log."""

    def __init__(self) -> None:
        self._clear()

    def add(self, loss: float, norm: float, clips: int) -> None:
        self.losses.append(loss)
        self.norms.append(norm)
        self.clips += clips

    def take(self) -> dict[str, float]:
        seconds = max(time.monotonic() - self.began, 1e-9)
        count = max(len(self.losses), 1)
        figures = {
            "loss": sum(self.losses) / count,
            "gradient_norm": sum(self.norms) / count,
            "clips_per_s": self.clips / seconds,
        }
        self._clear()
        return figures

    def _clear(self) -> None:
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.clips = 0
        self.began = time.monotonic()
