"""`longtake bench`: what `measure` measures, and what serving costs."""

from __future__ import annotations

from longtake.measure.app import app
from longtake.studio.bench.app import app as serving

__all__ = ["app"]

app.add_typer(serving)
