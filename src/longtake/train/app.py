"""`longtake train`: one command a recipe. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from longtake.errors import UserError
from longtake.train.chain.command import chain
from longtake.train.distil.command import stage
from longtake.train.memories.command import apm, cam
from longtake.train.options import SHIPPED, Device, MaxMinutes, Resume, RunFolder, Threads

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Config = Annotated[
    str, typer.Option("--config", help="A recipe's name (longtake train list) or a YAML file.")
]
CodecFolder = Annotated[Path | None, typer.Option("--codec", help="Codec folder; default: mini's own.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@app.callback()
def train() -> None:
    """Train the networks, one recipe each. Every run can be killed and resumed."""


@app.command("list")
def list_recipes(as_json: AsJson = False) -> None:
    """List the recipes and the stages of distillation, what each makes and the command that runs it."""
    from longtake.train.distil.stages import STAGES
    from longtake.train.recipe_file import recipes

    found = recipes() + [info.row() for info in STAGES]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for recipe in found:
        flow = f" ({recipe['needs']} → {recipe['makes']})" if "needs" in recipe else ""
        typer.echo(f"{recipe['name']:<12} {recipe['command']:<32} {recipe['summary']}{flow}")


@app.command()
def latents(
    out: Annotated[Path, typer.Option("--out", help="Folder of the set; kept out of git.")],
    config: Config = "latents",
    clips: Annotated[
        int | None, typer.Option("--clips", min=1, help="Training clips, instead of the recipe's.")
    ] = None,
    levels: Annotated[
        str | None, typer.Option("--levels", help="Weights of the levels, as 1:60,2:30,3:10.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes, one thread each.")] = 2,
    codec: CodecFolder = None,
    refresh: Annotated[
        int, typer.Option("--refresh", min=0, help="Replace so many of the oldest shards.")
    ] = 0,
) -> None:
    """Render toybox clips and store their codec latents; goes on where it stopped."""
    from longtake.train.config import LatentsConfig
    from longtake.train.latents import make_latents, refresh_latents
    from longtake.train.recipe_file import load_config
    from longtake.train.report import ShardReport

    with ShardReport() as report:
        if refresh:
            refresh_latents(out, shards=refresh, workers=workers, progress=report)
            return
        recipe = load_config(config, LatentsConfig)
        changes = {"clips": clips, "levels": parse_levels(levels) if levels else None}
        recipe = recipe.model_copy(
            update={name: value for name, value in changes.items() if value is not None}
        )
        make_latents(out, codec or SHIPPED / "codec", recipe, workers=workers, progress=report)


@app.command()
def mini(
    data: Annotated[Path, typer.Option("--data", help="Folder of the latent set.")],
    out: RunFolder,
    config: Config = "mini",
    resume: Resume = False,
    restart_from: Annotated[
        Path | None,
        typer.Option(
            "--restart-from", help="Checkpoint or model's folder whose weights a new run begins with."
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    nproc: Annotated[
        int, typer.Option("--nproc", min=1, help="Processes on this machine; an update has a batch of each.")
    ] = 1,
    max_minutes: MaxMinutes = math.inf,
) -> None:
    """Pretrain mini: transformer and text encoder, under both masks."""
    from longtake.train.config import MiniConfig
    from longtake.train.launch import launch
    from longtake.train.recipe_file import load_config
    from longtake.train.start import train_mini

    recipe = load_config(config, MiniConfig)
    if nproc > 1 and "WORLD_SIZE" not in os.environ:
        raise typer.Exit(launch(nproc, sys.argv[1:]))
    done = train_mini(
        recipe,
        data,
        out,
        resume=resume,
        restart_from=restart_from,
        device=device,
        threads=threads,
        max_minutes=max_minutes,
    )
    again = (
        ""
        if done
        else f"; go on with: longtake train mini --config {config} --data {data} --out {out} --resume"
    )
    typer.echo(f"{out}: {'all stages done' if done else 'stopped before the end'}{again}", err=True)


@app.command()
def codec(out: RunFolder, config: Config = "codec", resume: Resume = False) -> None:
    """Fit mini's codec and train its decoder."""
    from longtake.train.codec import CodecConfig, train
    from longtake.train.recipe_file import load_config

    train(load_config(config, CodecConfig), out, resume)


@app.command()
def reader(
    data: Annotated[
        Path, typer.Option("--data", help="Folder of the reader's set; rendered where it is missing.")
    ],
    out: RunFolder,
    config: Config = "reader",
    resume: Resume = False,
    restart_from: Annotated[
        Path | None,
        typer.Option("--restart-from", help="Folder of a reader whose weights a new run begins with."),
    ] = None,
    codec: CodecFolder = None,
    max_minutes: MaxMinutes = math.inf,
) -> None:
    """Train the reader, the oracle that measures what a clip shows."""
    from longtake.models.patch_codec import PatchCodec
    from longtake.train.checkpoint import refuse_old_run
    from longtake.train.reader import ReaderRecipe, make_set, train
    from longtake.train.recipe_file import load_config
    from longtake.train.report import RunReport

    recipe = load_config(config, ReaderRecipe)
    refuse_old_run(out, resume)
    make_set(recipe, data, PatchCodec.from_pretrained(codec or SHIPPED / "codec"))
    with RunReport() as report:
        train(recipe, data, out, report, restart_from=restart_from, max_minutes=max_minutes)


@app.command()
def enhance(
    data: Annotated[Path, typer.Option("--data", help="Folder of the pairs; rendered where it is missing.")],
    out: RunFolder,
    config: Config = "enhance",
    resume: Resume = False,
    model: Annotated[
        Path, typer.Option("--model", help="Folder of the model whose video is enhanced.")
    ] = SHIPPED,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that render.")] = 2,
    device: Device = "auto",
    threads: Threads = None,
    max_minutes: MaxMinutes = math.inf,
) -> None:
    """Train the enhancer: from poor clips, enlarged, to clean ones."""
    import torch

    from longtake.train.checkpoint import refuse_old_run
    from longtake.train.enhance import EnhanceRecipe
    from longtake.train.enhance_pairs import make_pairs
    from longtake.train.enhance_run import train
    from longtake.train.recipe_file import load_config
    from longtake.train.report import RunReport, ShardReport

    recipe = load_config(config, EnhanceRecipe)
    refuse_old_run(out, resume)
    if threads is not None:
        torch.set_num_threads(threads)
    with ShardReport() as shards:
        make_pairs(data, model / "codec", recipe.pairs, workers=workers, progress=shards)
    with RunReport() as report:
        train(recipe, data, model, out, report, device=device, max_minutes=max_minutes)


@app.command()
def clip(
    out: RunFolder, config: Config = "clip", resume: Resume = False, max_minutes: MaxMinutes = math.inf
) -> None:
    """Train mini-clip, the small text and image encoder of toybox."""
    from longtake.train.checkpoint import refuse_old_run
    from longtake.train.clip import ClipRecipe, train
    from longtake.train.recipe_file import load_config
    from longtake.train.report import RunReport

    recipe = load_config(config, ClipRecipe)
    refuse_old_run(out, resume)
    with RunReport() as report:
        train(recipe, out, report, max_minutes=max_minutes)


@app.command()
def export(
    run: Annotated[Path, typer.Option("--run", help="Folder of a run.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the model.")],
    network: Annotated[
        str,
        typer.Option(
            "--network", help="What the run trained: mini, student, memories, enhance, reader or clip."
        ),
    ] = "mini",
) -> None:
    """Write a run's averaged weights as float16; mini in diffusers' folders, with a model card."""
    if network == "mini":
        from longtake.train.export import export_mini as write
    elif network == "student":
        from longtake.train.distil.export import export_student as write
    elif network == "memories":
        from longtake.train.memories.run import export as write
    elif network == "enhance":
        from longtake.train.enhance_run import export as write
    elif network == "reader":
        from longtake.train.reader import export as write
    elif network == "clip":
        from longtake.train.clip import export as write
    else:
        raise UserError(
            f"network {network} is not known; use mini, student, memories, enhance, reader or clip"
        )
    if not any(run.glob("checkpoint-*")):
        raise UserError(f"{run} holds no checkpoint; train first, or give another folder")
    write(run, out)


app.command()(cam)


app.command()(apm)


app.command()(stage)


app.command()(chain)


def parse_levels(text: str) -> dict[int, float]:
    """`1:60,2:30,3:10` as weights of levels."""
    try:
        pairs = [part.split(":") for part in text.split(",")]
        weights = {int(level): float(weight) for level, weight in pairs}
    except ValueError:
        raise UserError(f"levels {text} cannot be read; write them as 1:60,2:30,3:10") from None
    if not set(weights) <= {1, 2, 3} or min(weights.values()) < 0 or not any(weights.values()):
        raise UserError(
            f"levels {text} cannot be used; levels are 1, 2 and 3, weights not below 0, one above"
        )
    return weights
