"""Where a chain stands, on disk: `chain.jsonl` gets a line when a stage is done and its gate was held.

A stage's own folder holds everything else (checkpoints, log, model, gate), so a chain can be killed anywhere. Results
that are made anew are not deleted: they go to `before/<number>/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from longtake.errors import UserError

__all__ = ["ChainState", "Done"]

STATE = "chain.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A stage that is behind the chain."""

    stage: str
    """Which."""
    passed: bool
    """Whether its gate was passed."""
    reasons: tuple[str, ...]
    """What the gate missed."""
    seconds: float
    """Wall-clock time of the stage and its gate, over all legs; not what was done anew after a kill."""
    hardware: str
    """What the last leg ran on."""


class ChainState:
    """The state of the chain in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / STATE

    def done(self) -> dict[str, Done]:
        """Stages behind the chain; of a stage that was done twice the last. A line cut short by a kill is left out."""
        found: dict[str, Done] = {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for line in lines:
            try:
                values = json.loads(line)
            except json.JSONDecodeError:
                continue
            done = Done(**{**values, "reasons": tuple(values["reasons"])})
            found[done.stage] = done
        return found

    def add(self, done: Done) -> None:
        """Note that a stage is done. Raises UserError when the disk is full."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(done)) + "\n")
        except OSError as reason:
            raise UserError(f"{self.path} cannot be written ({reason.strerror}); free some space") from None

    def put_aside(self, stages: Sequence[str]) -> Path | None:
        """Move what there is of these stages away, so that they begin anew; where to, or None when there is nothing."""
        there = [stage for stage in stages if (self.folder / stage).exists()]
        kept = [done for done in self.done().values() if done.stage not in stages]
        before = self.folder / "before"
        numbers = [int(path.name) for path in before.glob("*") if path.name.isdecimal()]
        place = before / str(1 + max(numbers, default=0))
        for stage in there:
            place.mkdir(parents=True, exist_ok=True)
            (self.folder / stage).rename(place / stage)
        if self.path.exists():
            unfinished = self.path.with_suffix(".part")
            unfinished.write_text("".join(json.dumps(asdict(done)) + "\n" for done in kept), encoding="utf-8")
            unfinished.replace(self.path)
        return place if there else None
