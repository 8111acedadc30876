"""`longtake train chain`: every stage, from nothing to a streaming student. Heavy imports happen inside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["chain"]


def chain(
    out: Annotated[Path, typer.Option("--out", help="Folder of the chain; the same command goes on there.")],
    config: Annotated[str, typer.Option("--config", help="mini, smoke or a YAML file.")] = "mini",
    data: Annotated[
        Path | None, typer.Option("--data", help="A stored set; default: the chain's own, made in --out.")
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Do this stage and later ones anew.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None,
    max_minutes: Annotated[
        float, typer.Option("--max-minutes", help="End a stage, with a checkpoint, after so long.")
    ] = math.inf,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FOLDER", help="Write what it took there, as a benchmark's result."),
    ] = None,
) -> None:
    """Pretrain and distil in one folder, a measured gate after each stage; can be killed and goes on."""
    from longtake.train.chain.account import account
    from longtake.train.chain.config import chain_config
    from longtake.train.chain.run import Chain
    from longtake.train.chain.works import Resources, make_data, number_format, works
    from longtake.train.distil.opening import MODEL

    recipe = chain_config(config)
    resources = Resources(device=device, threads=threads, max_minutes=max_minutes)
    doing = works(recipe, resources)
    folder = data or out / "data"
    if data is None:
        make_data(folder, recipe.data, recipe.workers)
    done = Chain(recipe, out, folder, doing, say=lambda line: typer.echo(line, err=True)).run(
        begin=begin, until=until
    )
    if record is not None:
        account(Path(config).stem, recipe, out, number_format(recipe, resources)).save(record)
    last = out / (until or recipe.stages[-1])
    if done and (last / MODEL).is_dir():
        typer.echo(f"{last / MODEL}: longtake generate --model {last / MODEL} …", err=True)
    elif done:
        typer.echo(f"{last}: done; it makes no model, the stage after it goes on from there", err=True)
