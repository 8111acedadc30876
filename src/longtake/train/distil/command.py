"""`longtake train stage`: one stage of a distillation."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from longtake.errors import UserError

__all__ = ["stage"]

Model = "a preset, a model's folder, or the run folder of a stage"


def stage(
    name: Annotated[str, typer.Argument(help="A stage, see `longtake train list`.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Latent set; for ode the pairs; for self-forcing and long-tuning also prompts.txt."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; its model/ is what it makes.")
    ] = None,
    config: Annotated[str, typer.Option("--config", help="A distillation's name or a YAML file.")] = "mini",
    teacher: Annotated[str | None, typer.Option("--teacher", help=f"The teacher: {Model}.")] = None,
    student: Annotated[
        str | None, typer.Option("--student", help=f"What the student starts as: {Model}.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field, as dmd.scores.symmetric=true; repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    max_minutes: Annotated[
        float, typer.Option("--max-minutes", help="End this leg, with a checkpoint, after so long.")
    ] = math.inf,
    nproc: Annotated[int, typer.Option("--nproc", min=1, help="Processes on this machine, one a GPU.")] = 1,
    shard: Annotated[
        bool | None,
        typer.Option("--shard/--replicate", help="Spread the weights over the processes; default: on GPUs."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what each of --nproc GPUs would need, and stop.")
    ] = False,
) -> None:
    """Run one stage of distillation: from a bidirectional teacher to a causal few-step student."""
    from longtake.train.distil.config import distil_config
    from longtake.train.distil.start import run_stage
    from longtake.train.launch import launch

    recipe = distil_config(config, changes or ())
    if plan:
        from longtake.train.stage_plan import stage_plan

        needed = stage_plan(name, recipe, nproc, teacher=teacher, student=student, spread=shard is not False)
        typer.echo("\n".join(needed.lines()))
        return
    if data is None or out is None:
        raise UserError(f"stage {name} needs --data and --out")
    if nproc > 1 and "WORLD_SIZE" not in os.environ:
        raise typer.Exit(launch(nproc, sys.argv[1:]))
    done = run_stage(
        name,
        recipe,
        data,
        out,
        teacher=teacher,
        student=student,
        resume=resume,
        device=device,
        threads=threads,
        max_minutes=max_minutes,
        shard=shard,
    )
    again = again_with(
        name,
        {
            "--config": config,
            "--data": data,
            "--out": out,
            "--teacher": teacher,
            "--student": student,
            "--device": None if device == "auto" else device,
            "--threads": threads,
            "--max-minutes": None if math.isinf(max_minutes) else f"{max_minutes:g}",
            "--nproc": None if nproc == 1 else nproc,
        },
        changes or (),
        shard,
    )
    if os.environ.get("RANK", "0") == "0":
        typer.echo(f"{out}: {'done' if done else f'stopped before the end; go on with: {again}'}", err=True)


def again_with(name: str, given: Mapping[str, object], changes: Sequence[str], shard: bool | None) -> str:
    """The command that goes on with a stage: everything that was given, ready for a shell."""
    words = ["longtake", "train", "stage", name]
    words += [word for option, value in given.items() if value is not None for word in (option, str(value))]
    words += [word for change in changes for word in ("--set", change)]
    if shard is not None:
        words.append("--shard" if shard else "--replicate")
    return shlex.join([*words, "--resume"])
