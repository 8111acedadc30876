"""Options that the benchmarks share, and what every one of them does: open a model, tell how far it is, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from longtake.measure.bench import Bench
    from longtake.measure.results import Result
    from longtake.pipeline import Pipeline
    from longtake.world.reader import Reader

FOLDER = Path("docs/benchmarks")
Out = Annotated[Path, typer.Option("--out", help="Folder of the results.")]
Model = Annotated[str, typer.Option("--model", help="A name that `longtake models` lists, or a folder.")]
Level = Annotated[int, typer.Option("--level", min=1, max=3, help="Level of toybox's scenes.")]
Prompts = Annotated[int, typer.Option("--prompts", min=2, help="How many held-out prompts.")]
Quick = Annotated[bool, typer.Option("--quick", help="8 prompts, into a result of its own.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin again instead of going on.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default=False)]
Pictures = Annotated[
    Path | None,
    typer.Option("--pictures", help="Folder for a contact sheet of each take.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of Markdown.")]

QUICK = 8


def open_bench(
    model: str, threads: int | None, level: int, prompts: int, out: Path, pictures: Path | None, fresh: bool
) -> Bench:
    return bench_of(open_pipeline(model, threads), level, prompts, out, pictures, fresh)


def bench_of(
    pipe: Pipeline, level: int, prompts: int, out: Path, pictures: Path | None, fresh: bool
) -> Bench:
    from longtake.measure.bench import Bench
    from longtake.world.reader import Reader

    return Bench(
        pipe=pipe,
        reader=Reader.load(),
        level=level,
        prompts=prompts,
        out=out,
        progress=progress,
        fresh=fresh,
        pictures=pictures,
    )


def open_judged(model: str, threads: int | None) -> tuple[Pipeline, Reader]:
    from longtake.world.reader import Reader

    return open_pipeline(model, threads), Reader.load()


def open_pipeline(model: str, threads: int | None) -> Pipeline:
    from longtake.pipeline import Pipeline

    set_threads(threads)
    return Pipeline.from_pretrained(model)


def set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def progress(done: int, total: int, what: str) -> None:
    """One line on stderr that is written over on a terminal, and every tenth part elsewhere."""
    import sys

    if sys.stderr.isatty():
        typer.echo(f"\r{done}/{total} {what:<24}", err=True, nl=done == total)
    elif done == total or done % max(1, total // 10) == 0:
        typer.echo(f"{done}/{total} {what}", err=True)


def finish(result: Result, out: Path, as_json: bool) -> None:
    from longtake.measure.report import section

    result.save(out)
    typer.echo(json.dumps(result.to_dict(), ensure_ascii=False) if as_json else section(result))
