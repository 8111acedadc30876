"""Warnings as plain lines."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

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
