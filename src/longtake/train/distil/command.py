"""`longtake train stage`: one stage of a distillation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["stage"]

Model = "a preset, a model's folder, or the run folder of a stage"


def stage(
    name: Annotated[str, typer.Argument(help="A stage, see `longtake train list`.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the latent set; for ode the ODE pairs.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; its model/ is what it makes.")],
    config: Annotated[str, typer.Option("--config", help="A distillation's name or a YAML file.")] = "mini",
    teacher: Annotated[str | None, typer.Option("--teacher", help=f"The teacher: {Model}.")] = None,
    student: Annotated[
        str | None, typer.Option("--student", help=f"What the student starts as: {Model}.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    max_minutes: Annotated[
        float, typer.Option("--max-minutes", help="End this leg, with a checkpoint, after so long.")
    ] = math.inf,
) -> None:
    """Run one stage of distillation: from a bidirectional teacher to a causal few-step student."""
    from longtake.train.distil.config import distil_config
    from longtake.train.distil.start import run_stage

    done = run_stage(
        name,
        distil_config(config),
        data,
        out,
        teacher=teacher,
        student=student,
        resume=resume,
        device=device,
        threads=threads,
        max_minutes=max_minutes,
    )
    again = f"; go on with: longtake train stage {name} --config {config} --data {data} --out {out} --resume"
    typer.echo(f"{out}: {'done' if done else f'stopped before the end{again}'}", err=True)
