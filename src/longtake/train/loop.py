"""The training loop: stages, checkpoints, averages, logs; the same for every recipe.

A recipe says what is trained and what a step's loss is; nothing random lives outside (seed, step), so a run that is
killed and resumed gives the same weights, bit for bit, as one that was not (same machine kind and thread count).
An adversarial recipe has a critic beside its networks, with an optimiser of its own: every step trains the critic,
every `ratio`-th step first the networks. Several processes share an update as `distributed.py` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
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
from longtake.train.distributed import ALONE, Group, fill, whole
from longtake.train.log import RunLog
from longtake.train.optimise import Optimiser, WeightAverage, lr_factor
from longtake.train.recipe import Adversarial, Recipe, Report
from longtake.train.timing import Clock, Timer, Window

__all__ = ["Cadence", "Run", "stage_at"]


class Paced(Protocol):
    """What every recipe says of how often things happen."""

    @property
    def checkpoint_minutes(self) -> float: ...
    @property
    def log_steps(self) -> int: ...
    @property
    def validate_steps(self) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """How often things happen besides steps."""

    checkpoint_minutes: float
    sample_minutes: float
    log_steps: int
    validate_steps: int

    @classmethod
    def of(cls, recipe: Paced, sample_minutes: float = math.inf) -> Cadence:
        """As a recipe says; unless `sample_minutes` are given, samples are drawn at the end of stages alone."""
        return cls(
            checkpoint_minutes=recipe.checkpoint_minutes,
            sample_minutes=sample_minutes,
            log_steps=recipe.log_steps,
            validate_steps=recipe.validate_steps,
        )


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
        self,
        recipe: Recipe,
        folder: Path,
        optimiser: OptimiserConfig,
        cadence: Cadence,
        report: Report,
        group: Group = ALONE,
    ) -> None:
        self.recipe, self.folder, self.config = recipe, folder, optimiser
        self.cadence, self.report, self.group = cadence, report, group
        self.named = trainable(recipe.networks)
        self.optimiser = Optimiser(self.named, optimiser)
        self.rival = recipe if isinstance(recipe, Adversarial) else None
        self.rival_named = trainable(self.rival.critic) if self.rival else {}
        self.rival_optimiser = (
            Optimiser(self.rival_named, self.rival.critic_optimiser) if self.rival else None
        )
        self.average = WeightAverage.of(self.named, optimiser)
        self.position = Position(stage=recipe.stages[0].name, shards=recipe.shards())
        self.log = RunLog(folder)

    @property
    def total(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.recipe.stages)

    def resume(self) -> bool:
        """Go on from the newest checkpoint; False when there is none."""
        if self.group.first:
            remove_unfinished(self.folder)
        found = checkpoints(self.folder)
        if not found:
            return False
        self.position, tensors = load_checkpoint(found[-1])
        self._load(tensors, "weights", self.named)
        self._load(tensors, "average", self.average.values)
        self.optimiser.load(select(tensors, "optimiser"))
        if self.rival and self.rival_optimiser:
            self._load(tensors, "critic_weights", self.rival_named)
            self.rival_optimiser.load(select(tensors, "critic_optimiser"))
            self.rival.restore(select(tensors, "state"))
        self.recipe.use_shards(self.position.shards)
        if self.group.first:
            self.log.cut(self.position.step)
        return True

    def restart_from(self, checkpoint: Path) -> None:
        """Begin anew at step 0, with the averaged weights of a checkpoint of any run of these networks."""
        _, tensors = load_checkpoint(checkpoint)
        self.begin_with(select(tensors, "average"), checkpoint)

    def begin_with(self, weights: Mapping[str, Tensor], source: Path) -> None:
        """Begin anew at step 0 with these weights. Raises UserError when they are of other networks."""
        self._take(weights, self.named, source)
        self.average = WeightAverage.of(self.named, self.config)

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
        clock = Clock(self.position.seconds)
        if self.group.first:
            self.log.leg(self.position.step)
        due_save = Timer(self.cadence.checkpoint_minutes)
        due_sample = Timer(self.cadence.sample_minutes)
        window = Window()
        while self.position.step < end and not self.group.agree(clock.minutes() >= max_minutes or stop()):
            stage, within = stage_at(self.recipe.stages, self.position.step)
            window.add(self._step(stage, within), stage.batch_size * self.group.every)
            self.position = replace(self.position, step=self.position.step + 1, seconds=clock.total())
            last = within + 1 == stage.steps
            if self.position.step % self.cadence.log_steps == 0 or last:
                self._note("train", stage, window.take())
            if self.position.step % self.cadence.validate_steps == 0 or last:
                self._note("validation", stage, self.recipe.validate(self.average.values, stage.frames))
            if self.group.agree(due_sample()) or last:
                self._sample(stage)
            if self.group.agree(due_save()) or last:
                self.save()
        self.save()
        return self.position.step >= self.total

    def _step(self, stage: Stage, within: int) -> dict[str, float]:
        updates, waiting = divmod(self.position.since_start, self.rival.ratio if self.rival else 1)
        figures: dict[str, float] = {}
        if not waiting:
            trained = self._update(self.optimiser, self.recipe.loss, stage, within)
            figures["loss"], figures["gradient_norm"] = trained
            self.average.update(self.named, updates + 1)
        if self.rival and self.rival_optimiser:
            trained = self._update(self.rival_optimiser, self.rival.critic_loss, stage, within)
            figures["critic_loss"], figures["critic_gradient_norm"] = trained
        self.position = replace(self.position, since_start=self.position.since_start + 1)
        return figures

    def _update(
        self, optimiser: Optimiser, loss: Callable[[Stage, int], Tensor], stage: Stage, within: int
    ) -> tuple[float, float]:
        """One update; loss and norm of the gradient. UserError, and no update, when they are not finite."""
        value = 0.0
        for draw in self.group.draws(self.position.step):
            part = loss(stage, draw) / self.group.parts
            value += float(part.detach())
            part.backward()
        value = self._finite(self.group.mean(value), "loss", stage)
        self.group.share_gradients(optimiser.named.values())
        factor = lr_factor(stage, within, self.position.since_start, optimiser.config.warmup_steps)
        return value, self._finite(optimiser.step(factor), "norm of the gradient", stage)

    def _finite(self, value: float, what: str, stage: Stage) -> float:
        if math.isfinite(value):
            return value
        step, shards = self.position.step, self.recipe.shards()
        data = f" of {len(shards)} shards from {shards[0]} to {shards[-1]}" if shards else ""
        good = next(iter(reversed(checkpoints(self.folder))), "none")
        raise UserError(
            f"the {what} is {value} at step {step} of stage {stage.name}; batch: the {stage.batch_size} clips of "
            f"{stage.frames} latent frames that seed and step {step} draw{data}; last good checkpoint: {good}"
        )

    def save(self) -> None:
        """Write a checkpoint, and from here on use the shards that are there now."""
        self.recipe.use_shards(None)
        step = min(self.position.step, self.total - 1)
        stage, _ = stage_at(self.recipe.stages, step)
        self.position = replace(self.position, stage=stage.name, shards=self.recipe.shards())
        tensors = whole(self._tensors())
        if self.group.first:
            save_checkpoint(self.folder, self.position, tensors)
        self.group.wait()

    def _tensors(self) -> dict[str, Tensor]:
        groups: dict[str, Mapping[str, Tensor]] = {
            "weights": self.named,
            "average": self.average.values,
            "optimiser": self.optimiser.state(),
        }
        if self.rival and self.rival_optimiser:
            groups["critic_weights"] = self.rival_named
            groups["critic_optimiser"] = self.rival_optimiser.state()
            groups["state"] = self.rival.state()
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
            fill(value.detach(), stored[name])

    def _note(self, kind: str, stage: Stage, figures: Mapping[str, float]) -> None:
        record = {
            "kind": kind,
            "step": self.position.step,
            "of": self.total,
            "stage": stage.name,
            "seconds": round(self.position.seconds, 1),
            **{name: float(f"{value:.6g}") for name, value in figures.items()},
        }
        if self.group.first:
            self.log.write(record)
            self.report.record(record)

    def _sample(self, stage: Stage) -> None:
        if not self.group.first and not self.group.sharded:
            return
        with TemporaryDirectory() as scratch:
            folder = self.folder if self.group.first else Path(scratch)
            path = folder / f"samples-{self.position.step:08d}.png"
            self.recipe.sample(self.average.values, stage.frames, path)
        if self.group.first:
            self.log.plot()


def trainable(networks: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that require a gradient, by name."""
    return {name: value for name, value in networks.named_parameters() if value.requires_grad}
