"""The command line. `main` turns every mistake of the user into one plain line and an exit code.

Exit codes: 0 done, 1 `doctor` found something, 2 refused, nothing overwritten, 128 + n stopped by signal n.
Importing this package is cheap; commands import what they need when they run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from longtake.cli.signals import Stopped, stop_on_signals
from longtake.cli.warn import plain_warnings
from longtake.errors import UserError

REFUSED = 2


def main(args: Sequence[str] | None = None) -> int:
    """Run `longtake ARGS` (the process's own arguments by default) and return the exit code."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers' bars; ours is the only one
    with stop_on_signals(), plain_warnings():
        try:
            return _run(args)
        except Stopped as stopped:
            return stopped.exit_code
        except UserError as error:
            return _refuse(str(error))


def _run(args: Sequence[str] | None) -> int:
    from typer import TyperException

    from longtake.cli.app import app

    try:
        code = app(args, prog_name="longtake", standalone_mode=False)
    except TyperException as error:
        from longtake.cli.usage import explain  # needs pydantic, which --help does not

        if error.message.startswith("Usage:"):  # a group without a command shows its help
            sys.stderr.write(f"{error.message}\n")
            return REFUSED
        return _refuse(explain(error))
    return code if isinstance(code, int) else 0


def _refuse(message: str) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return REFUSED
