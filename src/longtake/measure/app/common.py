"""Options that the benchmarks share, and what every one of them does: open a model, tell how far it is, print.

A benchmark is a function that takes `Given` first and its own options after it; `command` makes a command of it that
has both.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longtake.errors import UserError
from longtake.measure.part import Part, PartDone

if TYPE_CHECKING:
    from longtake.measure.bench import Bench
    from longtake.measure.results import Result
    from longtake.pipeline import Pipeline

__all__ = ["FOLDER", "MODEL", "PLAIN", "PROMPTS", "THREADED", "Given", "command", "progress"]

FOLDER = Path("docs/benchmarks")
QUICK = 8
PLAIN = ("out", "as_json")
"""Options of a benchmark that measures an instrument."""
THREADED = ("out", "threads", "as_json")
"""Of one that makes networks of its own."""
MODEL = ("model", *THREADED)
"""Of one that measures a model."""
PROMPTS = ("level", "prompts", *MODEL, "quick", "fresh", "part", "pictures")
"""Of one that makes takes of held-out prompts with it."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the shared options were given."""

    level: Annotated[int, typer.Option("--level", min=1, max=3, help="Level of toybox's scenes.")] = 1
    prompts: Annotated[int, typer.Option("--prompts", min=2, help="How many held-out prompts.")] = 64
    model: Annotated[
        str, typer.Option("--model", help="A name that `longtake models` lists, or a folder.")
    ] = "mini"
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = FOLDER
    quick: Annotated[
        bool, typer.Option("--quick", help="A short run (8 prompts), into a folder of its own.")
    ] = False
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again instead of going on.")] = False
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            metavar="K/N",
            help="Make the K-th of N parts of the takes, beside processes that make the others; then once without it.",
            show_default=False,
        ),
    ] = None
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            help="Folder for a contact sheet of each take; models side by side also get a page with X–T slices.",
            show_default=False,
        ),
    ] = None
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default=False)
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of Markdown.")] = (
        False
    )

    @property
    def place(self) -> Path:
        """Folder of the results: a quick run has one of its own."""
        return self.out / "quick" if self.quick else self.out

    def set_threads(self) -> None:
        """Use as many threads as were asked for."""
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)

    def pipeline(self, model: str | None = None) -> Pipeline:
        """The model, or another one under the same options."""
        from longtake.pipeline import Pipeline

        self.set_threads()
        return Pipeline.from_pretrained(model or self.model)

    def bench(self, pipe: Pipeline | None = None, *, prompts: int | None = None) -> Bench:
        """Takes of held-out prompts by the model, or by another one, read by the reader."""
        from longtake.measure.bench import Bench
        from longtake.world.reader import Reader

        if self.fresh and self.part:
            raise UserError("--fresh would drop what other parts have made; leave out --fresh or --part")

        return Bench(
            pipe=pipe or self.pipeline(),
            reader=Reader.load(),
            level=self.level,
            prompts=QUICK if self.quick else prompts or self.prompts,
            out=self.place,
            progress=progress,
            fresh=self.fresh,
            pictures=self.pictures,
            part=None if self.part is None else Part.read(self.part),
        )

    def finish(self, result: Result) -> None:
        """Keep a result, and print it."""
        from longtake.measure.report import section

        result.save(self.place)
        typer.echo(json.dumps(result.to_dict(), ensure_ascii=False) if self.as_json else section(result))


def command(
    app: typer.Typer, options: tuple[str, ...], name: str | None = None, **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a benchmark: its own options, and those of `Given` that are named; `defaults` of those."""

    def register(benchmark: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(benchmark, eval_str=True)
        of_given = inspect.signature(Given, eval_str=True).parameters
        shared = [
            of_given[option].replace(default=defaults.get(option, of_given[option].default))
            for option in of_given
            if option in options
        ]
        _, *own = signature.parameters.values()
        parameters = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *shared]

        @functools.wraps(benchmark)
        def run(**values: Any) -> None:
            given = Given(**{each.name: values.pop(each.name) for each in shared})
            try:
                benchmark(given, **values)
            except PartDone as reason:
                typer.echo(f"{reason}; the same command without --part gives the result", err=True)

        del run.__wrapped__  # Typer would read the benchmark's own options alone
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        app.command(name)(run)
        return benchmark

    return register


def progress(done: int, total: int, what: str) -> None:
    """One line on stderr that is written over on a terminal, and every tenth part elsewhere."""
    import sys

    if sys.stderr.isatty():
        typer.echo(f"\r{done}/{total} {what:<24}", err=True, nl=done == total)
    elif done == total or done % max(1, total // 10) == 0:
        typer.echo(f"{done}/{total} {what}", err=True)
