"""Going through a chain: each stage is trained, held against its gate, and noted as done.

Everything is on disk, so the same command goes on after a kill. A gate that is not passed stops the chain there; its
takes are kept, so that it is held again in a moment when the expectations have been changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import longtake
from longtake.errors import UserError
from longtake.pipeline import Pipeline
from longtake.train.chain.config import ChainConfig
from longtake.train.chain.state import ChainState, Done
from longtake.train.distil.opening import MODEL
from longtake.train.gates.config import GateConfig
from longtake.train.gates.gate import failures, hold
from longtake.train.log import RunLog, hardware

__all__ = ["Chain", "Job", "Say", "Work"]

Say = Callable[[str], None]
"""Told what happens, a line each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a stage is given."""

    folder: Path
    """Its own folder; what is there of an earlier leg is gone on with."""
    data: Path
    """The latent set."""
    stages: Mapping[str, Path]
    """Folders of the stages before it, by name."""

    @property
    def model(self) -> Path:
        """Where it puts its model."""
        return self.folder / MODEL


class Work(Protocol):
    """One stage's doing."""

    def __call__(self, job: Job) -> bool:
        """Do it, or go on with it; True when it is done, False when it was stopped."""
        ...


class Chain:
    """A chain in a folder."""

    def __init__(
        self,
        config: ChainConfig,
        folder: Path,
        data: Path,
        works: Mapping[str, Work],
        *,
        say: Say,
        load: Callable[[Path], Pipeline] = longtake.load,
    ) -> None:
        self.config, self.folder, self.data, self.works = config, folder, data, works
        self.say, self.load, self.state = say, load, ChainState(folder)

    def run(self, *, begin: str | None = None, until: str | None = None) -> bool:
        """Do all stages that are not done; True when the last that was asked for is behind the chain.

        begin: do this stage and the later ones anew. until: stop after this one. Raises UserError when a gate is not
        passed, and for stages that the chain does not have.
        """
        wanted = self._wanted(begin, until)
        done = self.state.done()
        for stage in wanted:
            earlier = done.get(stage)
            if earlier is not None and self._stands(earlier):
                self.say(f"{stage}: done before, in {earlier.seconds / 60:.1f} minutes")
                continue
            began = time.monotonic()
            if not self.works[stage](self._job(stage)):
                self.say(f"{stage}: stopped; the same command goes on")
                return False
            self._hold(stage, time.monotonic() - began)
        return True

    def _wanted(self, begin: str | None, until: str | None) -> Sequence[str]:
        stages: Sequence[str] = self.config.stages
        for option, stage in (("--from", begin), ("--until", until)):
            if stage is not None and stage not in stages:
                raise UserError(
                    f"{option} {stage}: the chain has no such stage; its stages are {', '.join(stages)}"
                )
        last = len(stages) if until is None else stages.index(until) + 1
        if begin is not None and stages.index(begin) >= last:
            raise UserError(f"--from {begin} comes after --until {until}; nothing is to be done")
        if begin is not None:
            lacking = [s for s in stages[: stages.index(begin)] if s not in self.state.done()]
            if lacking:
                raise UserError(f"--from {begin}: {lacking[0]} comes first and is not done; leave out --from")
            place = self.state.put_aside(stages[stages.index(begin) :])
            if place is not None:
                self.say(f"earlier results of {begin} and later stages are in {place}")
        return stages[:last]

    def _stands(self, done: Done) -> bool:
        """Whether a stage need not be looked at again: its gate was passed, or does not matter."""
        return done.passed or not self.config.enforce

    def _job(self, stage: str) -> Job:
        stages: Sequence[str] = self.config.stages
        earlier = stages[: stages.index(stage)]
        folder = self.folder / stage
        folder.mkdir(parents=True, exist_ok=True)
        return Job(folder=folder, data=self.data, stages={name: self.folder / name for name in earlier})

    def _hold(self, stage: str, seconds: float) -> None:
        """Hold the gate and note the outcome. Raises UserError when it is not passed and gates are enforced."""
        job = self._job(stage)
        pipe = self.load(job.model) if job.model.is_dir() else None
        gate = self.config.gates.get(stage, GateConfig(prompts=4))  # type: ignore[call-overload]
        began = time.monotonic()
        result = hold(stage, job.folder, pipe, gate)
        reasons = tuple(failures(result))
        self.state.add(
            Done(
                stage=stage,
                passed=not reasons,
                reasons=reasons,
                seconds=_trained(job.folder, seconds) + max(time.monotonic() - began, result.seconds),
                hardware=hardware(),
            )
        )
        if reasons and self.config.enforce:
            raise UserError(
                f"the gate after {stage} is not passed: {'; '.join(reasons)}. See {job.folder / 'gate.md'} and "
                f"gate.png; train longer or change the recipe and use --from {stage}, or change what is asked"
            )
        self.say(f"{stage}: {'gate passed' if not reasons else 'gate missed: ' + '; '.join(reasons)}")


def _trained(folder: Path, leg: float) -> float:
    """Seconds of a stage's work over all legs, as its log has them; `leg` is how long the last one was."""
    logged = [record["seconds"] for record in RunLog(folder).records() if "seconds" in record]
    return max(leg, *logged) if logged else leg
