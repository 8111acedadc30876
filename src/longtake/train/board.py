"""The log as TensorBoard reads it, in `tensorboard/` of a run's folder. Without the package there is none."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Board"]

NAMES = ("kind", "step", "of", "stage", "hardware", "torch")
"""Fields of a line that are no figures."""


class Board:
    """Writes the figures of a leg."""

    def __init__(self, folder: Path, step: int) -> None:
        """step: where the leg begins; what an earlier leg wrote after it is no longer shown."""
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            self._writer = None
            warnings.warn(
                "no TensorBoard logs are written: tensorboard is not installed (pip install 'longtake[train]'); "
                "log.jsonl and loss.png have everything",
                stacklevel=2,
            )
            return
        self._writer = SummaryWriter(folder / "tensorboard", purge_step=step)

    def add(self, record: Mapping[str, object]) -> None:
        """The figures of a line of the log, by kind."""
        if self._writer is None:
            return
        for name, value in record.items():
            if name not in NAMES and isinstance(value, int | float):
                self._writer.add_scalar(f"{record['kind']}/{name}", value, int(str(record["step"])))
        self._writer.flush()
