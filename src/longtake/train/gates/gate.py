"""Holding a stage's model against its gate: takes of held-out prompts, the log's curves, a sheet of samples.

What is found is written into the stage's folder: `gate.json` (every figure, and whether it is as asked), `gate.md`
(the same as a table) and `gate.png` (frames of the takes, the true scene below each). A gate that was stopped goes on
with the next take; takes of other weights, of another policy or length, or that another reader read, are made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from longtake.errors import UserError
from longtake.measure.by_eye import sheet
from longtake.measure.cases import Case, held_out_cases
from longtake.measure.filming import about_takes, timeline_of
from longtake.measure.provenance import provenance
from longtake.measure.report import section
from longtake.measure.results import Figure, Ledger, Result
from longtake.models.codec import frames_for_latents
from longtake.pipeline import Pipeline
from longtake.train.gates.config import GateConfig
from longtake.train.gates.curves import curve_figures
from longtake.train.gates.figures import DEFINITION, LEFT_OUT, Made, figures, measure, without_model
from longtake.train.log import RunLog
from longtake.train.shard_file import write_text
from longtake.world.reader import Reader

__all__ = ["failures", "hold"]

FIRST_SEED = 6_000_000
"""Seeds of the gates' scenes: held-out combinations, other scenes than the benchmarks' and than training's."""
SHOWN = 8
"""Takes of a sample sheet."""
Progress = Callable[[int, int], None]
"""Told how many takes are done, of how many."""


def hold(
    stage: str,
    folder: Path,
    pipe: Pipeline | None,
    config: GateConfig,
    *,
    reader: Reader | None = None,
    progress: Progress = lambda done, total: None,
) -> Result:
    """Measure the stage in `folder`, and write what was found there.

    pipe: streams as the stage's result is meant to; None for a stage that makes no model, whose curves alone count.
    """
    table = curve_figures(RunLog(folder).records(), config.curves)
    about: dict[str, Any] = {"stage": stage, "level": config.level, "seconds": config.seconds}
    seconds, dtype = 0.0, "float32"
    if pipe is not None:
        reader = reader or Reader.load()
        cases = held_out_cases(config.level, config.prompts, first=FIRST_SEED)
        about |= about_takes(pipe, reader)
        ledger = _ledger(folder / "gate.jsonl", about)
        _make_takes(ledger, cases, pipe, reader, config, folder / "takes", progress)
        _sheet([folder / "takes" / f"{case.key}.png" for case in cases[:SHOWN]], folder / "gate.png")
        table += figures([ledger.rows[case.key] for case in cases], cases, reader, config.asked)
        seconds, dtype = ledger.seconds, str(pipe.backbone.dtype).removeprefix("torch.")
    else:
        table += without_model(config.asked)
    result = Result(
        name="gate",
        title=f"Gate of the stage {stage}",
        definition=DEFINITION,
        config=about | {"prompts": config.prompts},
        figures=tuple(table),
        provenance=provenance(dtype),
        seconds=seconds,
    )
    write_text(folder / "gate.md", section(result))
    result.save(folder)
    return result


def failures(result: Result) -> list[str]:
    """What a gate asked for and did not get, or could not measure, in words."""
    missed = [figure for figure in result.figures if figure.met is False]
    return [f"{figure.name} is {_shown(figure)}, asked {figure.asked}" for figure in missed]


def _shown(figure: Figure) -> str:
    why = figure.note.removeprefix(LEFT_OUT)
    return f"not known: {why}" if figure.value is None else f"{figure.value:.4g}"


def _ledger(path: Path, about: Mapping[str, Any]) -> Ledger:
    """The takes that are there, when the same model made them in the same way; else none."""
    try:
        return Ledger(path, about)
    except UserError:
        return Ledger(path, about, fresh=True)


def _make_takes(
    ledger: Ledger,
    cases: Sequence[Case],
    pipe: Pipeline,
    reader: Reader,
    config: GateConfig,
    pictures: Path,
    progress: Progress,
) -> None:
    pictures.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases):
        if case.key not in ledger:
            began = time.perf_counter()
            made = _take(pipe, case, take_frames(pipe, config.seconds))
            rows = np.concatenate([sheet(made.frames, times=1), sheet(made.truth, times=1)])
            Image.fromarray(rows).save(pictures / f"{case.key}.png")
            values = measure(made, reader, pipe.fps)
            ledger.add(case.key, prompt=case.prompt, seconds=time.perf_counter() - began, **values)
        progress(number + 1, len(cases))


def take_frames(pipe: Pipeline, seconds: float) -> int:
    """Frames in so many seconds, or as many as a model makes that makes whole clips at once."""
    wanted, policy = round(seconds * pipe.fps), pipe.preset.policy
    if policy.kind != "joint":
        return wanted
    return min(wanted, frames_for_latents(policy.window.frames, pipe.codec.temporal_stride))


def _take(pipe: Pipeline, case: Case, frames: int) -> Made:
    chunks = list(pipe.stream(timeline_of(case), seed=case.seed, num_frames=frames))
    made = np.concatenate([chunk.frames for chunk in chunks])
    return Made(
        case=case,
        frames=made,
        joins=tuple(chunk.start_frame for chunk in chunks[1:]),
        truth=case.truth(len(made), size=(pipe.height, pipe.width), fps=pipe.fps),
    )


def _sheet(rows: Sequence[Path], path: Path) -> None:
    """Pictures of one size, one below the other."""
    pictures = [np.asarray(Image.open(row).convert("RGB")) for row in rows]
    Image.fromarray(np.concatenate(pictures)).save(path)
