"""Warnings as plain lines."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from longtake.pipeline import Pipeline
    from longtake.timeline import Timeline

_PACKAGE = str(Path(__file__).parents[1])


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show longtake's own warnings as `warning: …` on stderr; those of other libraries are for developers."""
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.showwarning = _show
        yield


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if filename.startswith(_PACKAGE):
        sys.stderr.write(f"warning: {message}\n")


def warn_of_unknown_words(pipe: Pipeline, timeline: Timeline) -> None:
    """Tell of words in the prompts that the model was not trained on."""
    words = dict.fromkeys(word for cue in timeline.cues for word in pipe.unknown_words(cue.prompt))
    if words:
        unknown = ", ".join(words)
        known = ", ".join(filter(str.isalnum, pipe.known_words))
        typer.echo(f"warning: {pipe.name} does not know: {unknown}; it knows: {known}", err=True)
