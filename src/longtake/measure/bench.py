"""What the benchmarks of quality share: the model, the reader, the prompts, and a ledger of takes done.

Every take is one line of the ledger; a benchmark that was stopped goes on with the next take, and several processes may
each make a part of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longtake.measure.adherence import figures, reading_from_dict, shuffled
from longtake.measure.cases import Asked, Case
from longtake.measure.filming import about_takes
from longtake.measure.hashes import policy_hash
from longtake.measure.part import Part, PartDone
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Ledger, Result
from longtake.pipeline import Pipeline
from longtake.world.reader import Reader
from longtake.world.reading import Reading

__all__ = ["BY_DEFAULT", "BY_READER", "CHANCE", "TRUTH", "Bench", "Progress", "Takes"]

Progress = Callable[[int, int, str], None]
"""Told after each take: how many are done, of how many, and its key."""
BY_READER = (
    "Attributes by the toybox reader (its gate: `longtake bench reader`), which abstains on what it cannot "
    "read; unknown counts as wrong. Held-out attribute combinations and wordings. Shares have 95 % intervals: Wilson's "
    "where a clip gives one answer, the bootstrap over clips where it gives several."
)
BY_DEFAULT = f"{BY_READER} Default settings of `generate`."
TRUTH = "control: toybox's own rendering of the same scenes (upper bound)"
CHANCE = "control: each clip against another prompt (chance)"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One benchmark's subject and place."""

    pipe: Pipeline
    """What is measured, with its default settings."""
    reader: Reader
    """What reads the takes."""
    level: int
    """Level of toybox's scenes."""
    prompts: int
    """How many held-out prompts."""
    out: Path
    """Folder of the ledger."""
    progress: Progress
    """Told after each take."""
    fresh: bool = False
    """Begin again instead of going on."""
    pictures: Path | None = None
    """Folder for a contact sheet of each take, if wanted."""
    part: Part | None = None
    """Make these takes only."""

    def frames(self, seconds: float) -> int:
        """Whole frames in so many seconds."""
        return round(seconds * self.pipe.fps)

    def truth(self, case: Case, num_frames: int, start: int = 0) -> np.ndarray:
        """The case's scene itself, uint8 [T, H, W, 3]."""
        size = (self.pipe.height, self.pipe.width)
        return case.truth(num_frames, start=start, size=size, fps=self.pipe.fps)

    def read(self, *clips: np.ndarray) -> list[Reading]:
        """Readings of clips of one length."""
        return self.reader.read_batch(np.stack(clips), self.pipe.fps)

    def show(self, case: Case, frames: np.ndarray) -> None:
        """Write the take's contact sheet, if wanted."""
        if self.pictures is not None:
            from PIL import Image

            from longtake.measure.by_eye import sheet

            self.pictures.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet(frames)).save(self.pictures / f"{case.key}.png")

    def run(
        self,
        name: str,
        config: Mapping[str, Any],
        cases: Sequence[Case],
        do: Callable[[Case], dict[str, Any]],
    ) -> Takes:
        """Do every case that the ledger lacks; `config` is what makes two ledgers comparable."""
        about = {**about_takes(self.pipe, self.reader), "level": self.level, **config}
        ledger = Ledger(self.out / f"{name}.jsonl", about, fresh=self.fresh)
        for number, case in enumerate(cases):
            if case.key not in ledger and (self.part is None or self.part.holds(number)):
                begin = time.perf_counter()
                values = do(case)
                ledger.add(case.key, prompt=case.prompt, seconds=time.perf_counter() - begin, **values)
            self.progress(number + 1, len(cases), case.key)
        return Takes(bench=self, name=name, cases=cases, ledger=ledger)


@dataclass(frozen=True, kw_only=True)
class Takes:
    """The takes of a benchmark, all done unless it is a part of them."""

    bench: Bench
    """What they were made for."""
    name: str
    """Name of the benchmark."""
    cases: Sequence[Case]
    """Their prompts."""
    ledger: Ledger
    """What was found."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The ledger's lines, in the order of the cases. Raises PartDone where some are not made."""
        missing = sum(case.key not in self.ledger for case in self.cases)
        if missing:
            raise PartDone(
                f"{self.ledger.path}: {missing} of {len(self.cases)} takes are left to other parts"
            )
        return [self.ledger.rows[case.key] for case in self.cases]

    def readings(self, field: str) -> dict[str, Reading]:
        """A field of the ledger as readings by case."""
        return {
            case.key: reading_from_dict(row[field]) for case, row in zip(self.cases, self.rows, strict=True)
        }

    def table(self, field: str, least: Mapping[str, float], note: str = "") -> list[Figure]:
        """Adherence of a reading to the prompts."""
        return figures(self._asked(), self.readings(field), least, note)

    def controls(self) -> list[Figure]:
        """The upper bound and chance."""
        asked = self._asked()
        other = {key: asked[partner] for key, partner in shuffled(list(asked)).items()}
        return [*self.table("truth", {}, TRUTH), *figures(other, self.readings("reading"), {}, CHANCE)]

    def result(self, title: str, definition: str, table: Sequence[Figure]) -> Result:
        """The benchmark's outcome; a policy that the ledger has in full is given by its hash."""
        policy = policy_hash(self.bench.pipe.preset.policy)
        return Result(
            name=self.name,
            title=title,
            definition=definition,
            config=self.ledger.about | {"policy": policy, "prompts": len(self.cases)},
            figures=tuple(table),
            provenance=provenance(str(self.bench.pipe.backbone.dtype).removeprefix("torch.")),
            seconds=self.ledger.seconds,
        )

    def _asked(self) -> dict[str, Asked]:
        return {case.key: case.asked for case in self.cases}
