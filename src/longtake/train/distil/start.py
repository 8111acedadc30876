"""Running one stage in a folder: beginning it, resuming it, and exporting what it made."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from longtake.errors import UserError
from longtake.train.checkpoint import refuse_old_run
from longtake.train.config import OptimiserConfig
from longtake.train.device import Compute, choose_compute
from longtake.train.distil.backbone import Backbone
from longtake.train.distil.causal import Causal
from longtake.train.distil.clips import Clips
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.export import export_student
from longtake.train.distil.mixing import other_end
from longtake.train.distil.ode_pairs import make_pairs
from longtake.train.distil.opening import MODEL, open_model, open_roles
from longtake.train.distil.record import StageRecord, keep_record, kept_record
from longtake.train.distil.stage import Distil, Roles, Streamed
from longtake.train.distil.stages import StageInfo, spec_of, stage_info, trained_by
from longtake.train.distributed import ALONE, Group, join
from longtake.train.interrupt import hold_signals
from longtake.train.loop import Cadence, Run
from longtake.train.memory_plan import is_big
from longtake.train.plots import require_matplotlib
from longtake.train.recipe import Recipe, Report
from longtake.train.report import RunReport, ShardReport
from longtake.train.sharding import checkpoint_blocks, shard_all

__all__ = ["run_stage", "stage_recipe", "stage_run"]


def run_stage(
    name: str,
    config: DistilConfig,
    data: Path,
    out: Path,
    *,
    teacher: str | Path | None = None,
    student: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    max_minutes: float = math.inf,
    shard: bool | None = None,
) -> bool:
    """Run a stage in the folder `out`; True when it is done, with a model in `out/model` (ode-pairs: pairs in `out`).

    data: latents, for `ode` pairs, for the last two stages also a file of prompts. teacher, student: a preset, a
    model's folder or the run folder of another stage; by default the config's, and on resume what the run began with.
    shard: whether several processes hold a share of the weights each; by default on GPUs. Raises UserError when they
    do not fit together, when `out` holds a run and `resume` is not asked for, and when a loss or a gradient is not
    finite.
    """
    info = stage_info(name)
    group = stage_group(spec_of(config, info), info, device, shard)
    if threads:
        torch.set_num_threads(threads)
    if info.name == "ode-pairs":
        return _pairs(
            config, data, out, _chosen("teacher", teacher, config.models.teacher), device, max_minutes
        )
    require_matplotlib()
    record = _record(info, config, out, teacher, student, resume)
    with hold_signals() as stop, RunReport() as report:
        run = stage_run(record, data, out, report, device=device, group=group)
        if resume and not run.resume():
            raise UserError(f"{out} holds no checkpoint to resume from; leave out --resume to begin")
        if group.first:
            keep_record(record, out)
        done = run.train(max_minutes=max_minutes, stop=stop)
    if done and group.first:
        export_student(out, out / MODEL)
    group.leave()
    return done


def stage_run(
    record: StageRecord,
    data: Path,
    out: Path,
    report: Report,
    *,
    device: str = "auto",
    group: Group = ALONE,
) -> Run:
    """A run of a stage at its beginning."""
    config = record.config
    recipe, optimiser = stage_recipe(record, data, choose_compute(device, config.precision), group)
    cadence = Cadence.of(config, config.sample_minutes)
    return Run(recipe, out, optimiser, cadence, report, group)


def stage_recipe(
    record: StageRecord, data: Path, compute: Compute, group: Group = ALONE
) -> tuple[Recipe, OptimiserConfig]:
    """The recipe of a stage with its networks, and what trains the student."""
    info = stage_info(record.stage)
    spec = spec_of(record.config, info)
    roles, opened = open_roles(
        record.config, spec, student=record.student, teacher=record.teacher, device=compute.device
    )
    _hold(roles, compute, group)
    recipe: Recipe = trained_by(info)(spec, record.config, data, roles, compute)
    if isinstance(recipe, Distil):
        recipe.parts = group.every
    if isinstance(recipe, Streamed | Causal):
        _check_latents(recipe.latent_shape, data, roles.student, opened.name)
    return recipe, spec.optimiser


def _hold(roles: Roles, compute: Compute, group: Group) -> None:
    """Spread the weights where the group does; keep the inputs of blocks alone where that or the size asks for it."""
    held = [b.transformer for b in (roles.student, roles.teacher, roles.critic) if b]
    if group.sharded:
        shard_all(held, compute.device, group)
        return
    for transformer in {id(each): each for each in held}.values():
        if is_big(transformer):
            checkpoint_blocks(transformer)


def stage_group(spec: Any, info: StageInfo, device: str, shard: bool | None) -> Group:
    """The processes of a stage, and how many parts each does of an update of the published size.

    Raises UserError when an update cannot be shared out evenly, and for stages that one process does.
    """
    group = join(device, sharded=torch.cuda.is_available() if shard is None else shard)
    if group.size > 1 and info.name in ("ode-pairs", "long-tuning"):
        raise UserError(f"stage {info.name} runs in one process, {group.size} given; leave out --nproc")
    wanted = getattr(spec, "global_batch", None)
    if wanted is None:
        return group
    parts, left = divmod(wanted, spec.batch_size * group.size)
    if left or not parts:
        raise UserError(
            f"an update of {wanted} clips cannot be shared by {group.size} processes with batches of "
            f"{spec.batch_size}; change global_batch, batch_size or --nproc"
        )
    return replace(group, parts=parts)


def _pairs(
    config: DistilConfig, data: Path, out: Path, teacher: str, device: str, max_minutes: float
) -> bool:
    compute = choose_compute(device, config.precision)
    opened, clips = open_model(teacher), Clips(config, data)
    model = Backbone(opened.transformer.to(compute.device), opened.prompts())
    _check_latents(clips.latent_shape, data, model, opened.name)
    spec = spec_of(config, stage_info("ode-pairs"))
    end = time.monotonic() + 60 * max_minutes
    with hold_signals() as heard, ShardReport() as report:
        return make_pairs(
            config,
            spec,
            clips,
            model,
            out,
            compute,
            progress=report,
            stop=lambda: heard() or time.monotonic() > end,
        )


def _record(
    info: StageInfo,
    config: DistilConfig,
    out: Path,
    teacher: str | Path | None,
    student: str | Path | None,
    resume: bool,
) -> StageRecord:
    refuse_old_run(out, resume)
    before = kept_record(out) if resume else None
    if before is not None and before.stage != info.name:
        raise UserError(f"{out} holds a run of stage {before.stage}, not {info.name}; give its own folder")
    if before is not None:
        teacher, student = teacher or before.teacher, student or before.student
    master = _chosen("teacher", teacher, config.models.teacher) if info.teacher else None
    record = StageRecord(
        stage=info.name,
        student=_chosen("student", student, config.models.student),
        teacher=master,
        config=config,
    )
    if between := spec_of(config, info).interpolate:
        other_end(record, between.other)
    return record


def _chosen(what: str, given: str | Path | None, configured: str | None) -> str:
    chosen = given or configured
    if chosen is None:
        raise UserError(f"this stage needs a {what}; give --{what} with a model's folder or name")
    return str(chosen)


def _check_latents(shape: tuple[int, int, int], data: Path, backbone: Backbone, name: str) -> None:
    """Raise UserError when the stored latents are not the model's."""
    channels, height, width = shape
    config = backbone.transformer.config
    if channels != config.in_channels:
        raise UserError(
            f"{data} has latents of {channels} channels, {name} takes {config.in_channels}; "
            "use latents made with the model's codec"
        )
    config.grid(height, width)
