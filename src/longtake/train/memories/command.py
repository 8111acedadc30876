"""`longtake train cam` and `longtake train apm`: StreamingT2V's memories for a model that stays as it is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.errors import UserError
from longtake.train.options import SHIPPED, Device, MaxMinutes, Resume, RunFolder, Threads

if TYPE_CHECKING:
    from longtake.train.memories.config import Kind, MemoryRecipe

__all__ = ["apm", "cam"]

Data = Annotated[Path, typer.Option("--data", help="Folder of the latent set.")]
Model = Annotated[Path, typer.Option("--model", help="Folder of the model that is given a memory.")]

Guide = Annotated[
    Path | None,
    typer.Option(
        "--guide",
        help="Run of `longtake train cam` for the network before distillation; of recipes that are guided.",
    ),
]


def cam(
    data: Data,
    out: RunFolder,
    config: Annotated[str, typer.Option("--config", help="A recipe's name or a YAML file.")] = "cam",
    resume: Resume = False,
    model: Model = SHIPPED,
    fusion: Annotated[
        str | None,
        typer.Option("--fusion", help="attend, or what it is compared with: add, concat."),
    ] = None,
    guide: Guide = None,
    device: Device = "auto",
    threads: Threads = None,
    max_minutes: MaxMinutes = math.inf,
) -> None:
    """Train short-term memory (CAM of StreamingT2V); the model itself is frozen."""
    recipe = _read(config, "cam")
    if fusion is not None:
        recipe = _with_fusion(recipe, fusion)
    _run(recipe, data, model, out, None, guide, resume, device, threads, max_minutes)


def apm(
    data: Data,
    out: RunFolder,
    config: Annotated[str, typer.Option("--config", help="A recipe's name or a YAML file.")] = "apm",
    resume: Resume = False,
    model: Model = SHIPPED,
    cam: Annotated[
        Path | None,
        typer.Option(
            "--cam", help="Run of `longtake train cam` that it goes on from; default: the model's cam/."
        ),
    ] = None,
    guide: Guide = None,
    device: Device = "auto",
    threads: Threads = None,
    max_minutes: MaxMinutes = math.inf,
) -> None:
    """Train long-term memory (APM of StreamingT2V) together with short-term memory; the model itself is frozen."""
    _run(_read(config, "apm"), data, model, out, cam, guide, resume, device, threads, max_minutes)


def _read(config: str, kind: Kind) -> MemoryRecipe:
    from longtake.train.memories.config import MemoryRecipe
    from longtake.train.recipe_file import load_config

    recipe = load_config(config, MemoryRecipe)
    if recipe.kind != kind:
        raise UserError(f"{config} is a recipe of {recipe.kind}; use `longtake train {recipe.kind}`")
    return recipe


def _with_fusion(recipe: MemoryRecipe, fusion: str) -> MemoryRecipe:
    from longtake.models.streaming.config import FUSIONS

    if fusion not in FUSIONS:
        raise UserError(f"--fusion {fusion} is unknown; use one of {', '.join(FUSIONS)}")
    return recipe.model_copy(update={"cam": recipe.cam.model_copy(update={"fusion": fusion})})


def _run(
    recipe: MemoryRecipe,
    data: Path,
    model: Path,
    out: Path,
    cam: Path | None,
    guide: Path | None,
    resume: bool,
    device: str,
    threads: int | None,
    max_minutes: float,
) -> None:
    import torch

    from longtake.train.checkpoint import refuse_old_run
    from longtake.train.memories.run import train
    from longtake.train.report import RunReport

    refuse_old_run(out, resume)
    if threads is not None:
        torch.set_num_threads(threads)
    with RunReport() as report:
        done = train(
            recipe, data, model, out, report, cam=cam, guide=guide, device=device, max_minutes=max_minutes
        )
    state = "all stages done" if done else "stopped before the end; go on with --resume"
    export = f"longtake train export --network memories --run {out} --out {model}"
    typer.echo(f"{out}: {state}; put it into the model with: {export}", err=True)
