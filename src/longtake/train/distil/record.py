"""What a stage's run folder keeps of how it was begun, so that it can be resumed and exported without being told."""

from __future__ import annotations

from pathlib import Path

import yaml

from longtake.errors import UserError
from longtake.train.distil.config import DistilConfig
from longtake.train.recipe_file import Strict, load_config

__all__ = ["StageRecord", "begun_as", "keep_record", "kept_record"]

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


def begun_as(record: StageRecord, stage: str) -> str:
    """What the student of `stage` began as, which is this run's or that of a run before it.

    Raises UserError when no run that led here is one of that stage.
    """
    here = record
    while stage != here.stage:
        model = Path(here.student)
        runs = [folder for folder in (model, model.parent) if (folder / FILE).is_file()]
        if not runs:
            field = record.stage.replace("-", "_")
            raise UserError(
                f"interpolate.other is {stage}, but stage {here.stage} began with {model}, which is no run of a stage; "
                f"give --student the run folder of stage {stage}, or --set {field}.interpolate=null"
            )
        here = kept_record(runs[0])
    return here.student
