"""`longtake train` commands of the networks that judge: the reader and mini-clip. Imports happen inside them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from longtake.errors import UserError

MINI_CODEC = Path(__file__).parent.parent / "weights" / "mini" / "codec"

Config = Annotated[
    str, typer.Option("--config", help="A recipe's name (longtake train list) or a YAML file.")
]
RunFolder = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default=False)]
MaxMinutes = Annotated[
    float, typer.Option("--max-minutes", help="End this leg with a checkpoint after so long.")
]
ModelFolder = Annotated[Path, typer.Option("--out", help="Folder of the weights.")]
RunToExport = Annotated[Path, typer.Option("--run", help="Folder of the run.")]


def reader_set(
    out: Annotated[Path, typer.Option("--out", help="Folder of the set; kept out of git.")],
    config: Config = "reader",
    codec: Annotated[
        Path, typer.Option("--codec", help="Codec that some windows are passed through.")
    ] = MINI_CODEC,
) -> None:
    """Render the windows that the reader learns from; goes on where it stopped."""
    from longtake.models.patch_codec import PatchCodec
    from longtake.train.reader import ReaderRecipe, make_set
    from longtake.train.recipe_file import load_config

    make_set(load_config(config, ReaderRecipe), out, PatchCodec.from_pretrained(codec))


def reader(
    data: Annotated[Path, typer.Option("--data", help="Folder made by `longtake train reader-set`.")],
    out: RunFolder,
    config: Config = "reader",
    resume: Resume = False,
    threads: Threads = None,
    max_minutes: MaxMinutes = math.inf,
) -> None:
    """Train the reader; then export it and hold it to its gate: longtake bench reader --record."""
    from longtake.train.reader import ReaderRecipe, train
    from longtake.train.recipe_file import load_config
    from longtake.train.report import RunReport

    recipe = load_config(config, ReaderRecipe)
    _prepare(out, resume, threads)
    with RunReport() as report:
        done = train(recipe, data, out, report, max_minutes=max_minutes)
    _say(out, done)


def clip(
    out: RunFolder,
    config: Config = "clip",
    resume: Resume = False,
    threads: Threads = None,
    max_minutes: MaxMinutes = math.inf,
) -> None:
    """Train mini-clip, the contrastive text and image encoder."""
    from longtake.train.clip import ClipRecipe, train
    from longtake.train.recipe_file import load_config
    from longtake.train.report import RunReport

    recipe = load_config(config, ClipRecipe)
    _prepare(out, resume, threads)
    with RunReport() as report:
        done = train(recipe, out, report, max_minutes=max_minutes)
    _say(out, done)


def export_reader(run: RunToExport, out: ModelFolder) -> None:
    """Write the averaged weights of a reader's run in half precision."""
    from longtake.train.reader import export

    export(run, out)


def export_clip(run: RunToExport, out: ModelFolder) -> None:
    """Write the averaged weights of a mini-clip's run in half precision."""
    from longtake.train.clip import export

    export(run, out)


def _prepare(out: Path, resume: bool, threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    if not resume and list(out.glob("checkpoint-*.safetensors")):
        raise UserError(f"{out} holds a run already; go on with --resume or give another folder")


def _say(out: Path, done: bool) -> None:
    typer.echo(
        f"{out}: {'all stages done' if done else 'stopped before the end; go on with --resume'}", err=True
    )
