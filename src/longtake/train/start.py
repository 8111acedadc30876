"""Beginning, resuming or restarting a pretraining run in a folder."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.text import TextEncoder
from longtake.models.wan import WanTransformer
from longtake.train.checkpoint import refuse_old_run
from longtake.train.config import MiniConfig
from longtake.train.device import choose_compute
from longtake.train.distributed import ALONE, Group, join
from longtake.train.grow import grown
from longtake.train.interrupt import hold_signals
from longtake.train.lessons import teach
from longtake.train.loop import Cadence, Run
from longtake.train.mini import Mini
from longtake.train.plots import require_matplotlib
from longtake.train.recipe import Report
from longtake.train.recipe_file import keep_recipe
from longtake.train.report import RunReport
from longtake.world.vocabulary import words

__all__ = ["exported_weights", "mini_run", "train_mini"]


def train_mini(
    config: MiniConfig,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    restart_from: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    max_minutes: float = math.inf,
) -> bool:
    """Train in the folder `out`; True when all stages are done.

    A run is resumed with the recipe given now: stages may be lengthened or added, networks may not change.
    An update has a batch of every process that this one was started with (`distributed.py`).
    restart_from: a checkpoint, or a model's folder (half precision), to begin a new run from; feed-forward layers of
    a folder may be narrower than the recipe's. Raises UserError when `out` holds a run and neither `resume` is asked
    for, nor the folder is new.
    """
    require_matplotlib()
    refuse_old_run(out, resume)
    if threads:
        torch.set_num_threads(threads)
    group = join(device)
    with hold_signals() as stop, RunReport() as report:
        run = mini_run(config, data, out, report, device=device, group=group)
        if resume and not run.resume():
            raise UserError(f"{out} holds no checkpoint to resume from; leave out --resume to begin")
        if restart_from and restart_from.is_dir():
            fresh = {name: value.detach() for name, value in run.named.items() if name.startswith("shown.")}
            stored = grown(exported_weights(restart_from, run.named), run.named)
            run.begin_with(fresh | stored, restart_from)
        elif restart_from:
            run.restart_from(restart_from)
        elif config.words.lessons and not resume:
            _take_lessons(run, config)
        if group.first:
            keep_recipe(config, out)
        done = run.train(max_minutes=max_minutes, stop=stop)
    group.leave()
    return done


def mini_run(
    config: MiniConfig, data: Path, out: Path, report: Report, *, device: str = "auto", group: Group = ALONE
) -> Run:
    """A run of the recipe at its beginning."""
    recipe = Mini(config, data, words(), choose_compute(device, config.precision), group.every)
    cadence = Cadence.of(config, config.sample_minutes)
    return Run(recipe, out, config.optimiser, cadence, report, group)


def _take_lessons(run: Run, config: MiniConfig) -> None:
    """Let the text encoder of a new run learn what captions say."""
    recipe = run.recipe
    assert isinstance(recipe, Mini)
    if recipe.data.is_footage:
        raise UserError("words.lessons need a set of toybox clips; leave them out for footage")
    records = [record for shard in recipe.data.shards for record in shard.records]
    right = teach(recipe.networks.text, records, steps=config.words.lessons, seed=config.seed)
    run.begin_with({name: value.detach() for name, value in run.named.items()}, run.folder)
    if run.group.first:
        run.log.write({"kind": "lessons", "step": 0, "steps": config.words.lessons, "right": right})


def exported_weights(folder: Path, named: Iterable[str]) -> dict[str, Tensor]:
    """The weights of a model's folder (`transformer/`, `text_encoder/`) under the names that training gives them."""
    transformer, text = WanTransformer.from_pretrained(folder / "transformer"), TextEncoder.load(folder)
    state = {f"transformer.{name}": value for name, value in transformer.state_dict().items()}
    state |= {f"text.{name}": value for name, value in text.state_dict().items()}
    return {name: state[name] for name in named if name in state}
