"""Checkpoints of PyTorch Lightning: tensors beside a training run's own objects, none of which is ever made.

PyTorch's reader of plain tensors stops at any class that it does not know, and such a file names some: settings,
counters, paths. Each of them is read as an empty stand-in here. So nothing of the file, and nothing of the libraries
that it names, is run.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from longtake.errors import UserError
from longtake.models.files import read_pt


class Inert:
    """Stands for an object of a class that is not loaded. What may be filled like a dictionary becomes a plain one."""

    def __new__(cls, *args: object) -> Any:
        """PyTorch's reader fills nothing but dictionaries, and those that are filled are made of nothing."""
        return object.__new__(cls) if args else OrderedDict()

    def __setstate__(self, state: object) -> None:
        """Nothing is kept."""


def read_lightning(path: Path, *, allow_pt: bool) -> Any:
    """What is in the file, tensors mapped; see `read_pt`, which this is but for classes that are not known."""
    if not allow_pt or not path.is_file():
        return read_pt(path, allow_pt=allow_pt)
    try:
        unknown = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError, ValueError):
        return read_pt(path, allow_pt=allow_pt)
    stand_ins: list[Any] = [(_stand_in(name), name) for name in unknown]
    with torch.serialization.safe_globals(stand_ins):
        return read_pt(path, allow_pt=allow_pt)


def _stand_in(name: str) -> type[Inert]:
    """A class of its own for each name, as the reader keeps them apart."""
    if name.startswith(("builtins.", "os.", "posix.", "nt.", "sys.", "subprocess.")):
        raise UserError(f"the file asks for {name}, which no checkpoint needs; it is not opened")
    return type(name.rpartition(".")[2], (Inert,), {})
