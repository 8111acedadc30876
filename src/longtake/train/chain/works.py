"""What each stage of a chain does: the commands of `longtake train`, in the chain's folder, on each other's models."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from longtake.models.hub import PRESET_FILE, Native, Preset
from longtake.models.policy import Policy
from longtake.train.chain.config import ChainConfig
from longtake.train.chain.run import Job, Work
from longtake.train.checkpoint import checkpoints
from longtake.train.config import LatentsConfig, MiniConfig
from longtake.train.device import choose_compute
from longtake.train.distil.config import DistilConfig, distil_config
from longtake.train.distil.stages import spec_of, stage_info
from longtake.train.distil.start import run_stage
from longtake.train.export import export_mini
from longtake.train.latents import make_latents, prepare
from longtake.train.options import SHIPPED
from longtake.train.recipe_file import load_config
from longtake.train.report import ShardReport
from longtake.train.start import train_mini
from longtake.train.store import shard_names

__all__ = ["Resources", "make_data", "number_format", "works"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What a leg may use."""

    device: str = "auto"
    """auto, cpu or cuda."""
    threads: int | None = None
    """CPU threads."""
    max_minutes: float = math.inf
    """How long one stage may take in this leg."""


def make_data(folder: Path, config: LatentsConfig, workers: int) -> None:
    """The chain's own toybox set; shards that are there, or came in place of others, are kept.

    Raises UserError for a set of other settings.
    """
    codec = SHIPPED / "codec"
    prepare(folder, codec, config)
    if len(shard_names(folder)) < -(-config.clips // config.shard_clips):
        with ShardReport() as report:
            make_latents(folder, codec, config, workers=workers, progress=report)


def number_format(config: ChainConfig, resources: Resources) -> str:
    """What the chain's stages compute in on this machine: one format, or both where its recipes differ."""
    asked = {distil_config(config.distil).precision}
    if config.pretrain is not None:
        asked.add(load_config(config.pretrain, MiniConfig).precision)
    halves = {choose_compute(resources.device, precision).bfloat16 for precision in asked}
    return ", ".join("bfloat16" if half else "float32" for half in sorted(halves))


def works(config: ChainConfig, resources: Resources) -> Mapping[str, Work]:
    """The work of every stage of a chain. Raises UserError when the distillation lacks one of them."""
    distil = distil_config(config.distil)
    for stage in config.stages:
        if stage != "pretrain":
            spec_of(distil, stage_info(stage))
    doing: dict[str, Work] = {
        stage: _Distilling(stage=stage, config=config, distil=distil, resources=resources)
        for stage in config.stages
        if stage != "pretrain"
    }
    if config.pretrain is not None:
        recipe = load_config(config.pretrain, MiniConfig)
        doing["pretrain"] = _Pretraining(
            recipe=recipe, chain=config, native=distil.native, resources=resources
        )
    return doing


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pretraining:
    """`longtake train mini`, and its model as a teacher of whole clips."""

    recipe: MiniConfig
    chain: ChainConfig
    native: Native
    resources: Resources

    def __call__(self, job: Job) -> bool:
        done = train_mini(
            self.recipe,
            job.data,
            job.folder,
            resume=bool(checkpoints(job.folder)),
            device=self.resources.device,
            threads=self.resources.threads,
            max_minutes=self.resources.max_minutes,
        )
        if done:
            export_mini(job.folder, job.model)
            codec = job.data / "codec"
            shutil.copytree(
                codec if codec.is_dir() else SHIPPED / "codec", job.model / "codec", dirs_exist_ok=True
            )
            write_preset(job.model, self.chain.teacher, self.native)
        return done


@dataclass(frozen=True, kw_only=True, slots=True)
class _Distilling:
    """`longtake train stage`, with teacher and student from the stages before it."""

    stage: str
    config: ChainConfig
    distil: DistilConfig
    resources: Resources

    def __call__(self, job: Job) -> bool:
        return run_stage(
            self.stage,
            self.distil,
            job.stages["ode-pairs"] if self.stage == "ode" else job.data,
            job.folder,
            teacher=self._teacher(job),
            student=self._student(job),
            resume=bool(checkpoints(job.folder)),
            device=self.resources.device,
            threads=self.resources.threads,
            max_minutes=self.resources.max_minutes,
        )

    def _first(self, job: Job) -> Path | str:
        """The bidirectional model that everything begins with."""
        return self.config.base or job.stages["pretrain"]

    def _causal(self, job: Job) -> Path | str:
        """The model that goes on from the past in many steps; the first one, where that was pretrained to."""
        return job.stages.get("causal", self._first(job))

    def _teacher(self, job: Job) -> Path | str:
        pairs = self.distil.ode_pairs
        by_causal = self.stage in ("guidance", "consistency") or (
            self.stage == "ode-pairs" and pairs is not None and pairs.teacher == "causal"
        )
        return self._causal(job) if by_causal else self._first(job)

    def _student(self, job: Job) -> Path | str:
        """What the stage before it made; both ways of a few-step beginning start from the guided model, if any."""
        if self.stage == "guidance":
            return self._causal(job)
        if self.stage in ("ode", "consistency"):
            return job.stages.get("guidance", self._causal(job))
        made = [stage for stage in job.stages if stage != "ode-pairs"]
        return job.stages[made[-1]] if made else self._first(job)


def write_preset(folder: Path, policy: Policy, native: Native) -> None:
    """Make a model's folder one that `longtake.load` opens."""
    preset = Preset(
        name="pretrained",
        summary="made by longtake train mini",
        licence="Apache-2.0",
        folder=".",
        native=native,
        policy=policy,
    )
    values = preset.model_dump(mode="json", exclude_none=True)
    (folder / PRESET_FILE).write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
