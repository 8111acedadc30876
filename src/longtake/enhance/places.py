"""Where the parts of an enhancer are."""

from __future__ import annotations

from pathlib import Path

from longtake.errors import UserError


def shared(folder: Path, *names: str) -> Path:
    """The folder of a part, under one of its names: the enhancer's own, or that of the model around it."""
    for place in (folder, folder.parent):
        for name in names:
            if (place / name).is_dir():
                return place / name
    raise UserError(f"the enhancer in {folder} lacks {names[0]}; restore its folder, or that of its model")
