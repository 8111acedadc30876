"""Options that several commands of `longtake train` have, and the model that they work on unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["SHIPPED", "Device", "MaxMinutes", "Resume", "RunFolder", "Threads"]

SHIPPED = Path(__file__).parents[1] / "weights" / "mini"
"""Folder of mini, in the package."""

RunFolder = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")]
MaxMinutes = Annotated[
    float, typer.Option("--max-minutes", help="End this leg, with a checkpoint, after so long.")
]
