"""`longtake bench`: measure, with everything that is needed to get the same numbers again.

Every command writes `<name>.json` into --out, and prints the result as Markdown or as one JSON object.
"""

from __future__ import annotations

import typer

from longtake.measure.app import costs, distil, instruments, streamingt2v, takes

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def bench() -> None:
    """Measure speed, quality and the cost of length. Long ones go on where they stopped."""


for part in (takes, distil, streamingt2v, costs, instruments):
    app.add_typer(part.app)
