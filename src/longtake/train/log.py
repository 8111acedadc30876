"""The log of a run: `log.jsonl`, one JSON object a line, the plot made from it, and the same for TensorBoard.

Kinds of line: `leg` (a start or resume, with the hardware), `train`, `validation`.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from longtake.train.board import Board

__all__ = ["RunLog", "hardware"]


def hardware() -> str:
    """The processor or GPU that torch will use, and its threads, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return f"{model}, {torch.get_num_threads()} threads"


class RunLog:
    """Appends to, cuts and plots the log of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "log.jsonl"
        self._board: Board | None = None

    def write(self, record: Mapping[str, object]) -> None:
        """Append one line."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._board is not None:
            self._board.add(record)

    def leg(self, step: int) -> None:
        """Note that a leg begins."""
        self._board = Board(self.folder, step)
        self.write({"kind": "leg", "step": step, "hardware": hardware(), "torch": str(torch.__version__)})

    def records(self) -> list[dict[str, Any]]:
        """All lines; a last one that a kill cut short is left out."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    def cut(self, step: int) -> None:
        """Drop what was logged after `step`: a resumed run logs it again."""
        kept = [record for record in self.records() if record["step"] <= step]
        unfinished = self.path.with_suffix(".part")
        unfinished.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        os.replace(unfinished, self.path)

    def plot(self) -> None:
        """Draw `loss.png`."""
        from longtake.train.plots import plot_run

        plot_run(self.records(), self.folder / "loss.png")
