"""What a stage's run folder keeps of how it was begun, so that it can be resumed and exported without being told."""

from __future__ import annotations

from pathlib import Path

import yaml

from longtake.errors import UserError
from longtake.train.distil.config import DistilConfig
from longtake.train.recipe_file import Strict, load_config

__all__ = ["StageRecord", "keep_record", "kept_record"]

FILE = "stage.yaml"


class StageRecord(Strict):
    """A stage as it was begun."""

    stage: str
    student: str
    """What the student began as."""
    teacher: str | None = None
    config: DistilConfig


def keep_record(record: StageRecord, run: Path) -> None:
    """Write it beside the checkpoints."""
    run.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(record.model_dump(mode="json"), sort_keys=False)
    (run / FILE).write_text(text, encoding="utf-8")


def kept_record(run: Path) -> StageRecord:
    """What a run was last begun or resumed with."""
    if not (run / FILE).is_file():
        raise UserError(f"{run} holds no run of `longtake train stage`: {FILE} is missing")
    return load_config(str(run / FILE), StageRecord)
