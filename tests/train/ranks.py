"""What each process of `test_distributed` runs: `torchrun ranks.py DATA OUT PARTS SHARDED`, or `train_all` at home."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from longtake.train.config import Length, Stage
from longtake.train.device import choose_compute
from longtake.train.distil.clips import Clips
from longtake.train.distil.dmd import Matching
from longtake.train.distil.self_forcing import SelfForcing
from longtake.train.distributed import Group, join
from longtake.train.loop import Cadence, Run
from longtake.train.mini import Mini
from longtake.train.recipe import Recipe
from longtake.train.sharding import shard_all
from tests.train.distil.toys import COMPUTE, config, roles
from tests.train.sets import WORDS, tiny_config

STEPS = 20
CADENCE = Cadence(checkpoint_minutes=60, sample_minutes=60, log_steps=1, validate_steps=1000)


class Silent:
    def record(self, record: Mapping[str, object]) -> None:
        pass


def mini(data: Path, out: Path, group: Group) -> Run:
    """Pretraining: 20 updates of images and clips by turns."""
    images = Length(share=0.3, frames=1, batch_size=3)
    stage = Stage(name="mixed", steps=STEPS, batch_size=2, frames=4, levels={1: 1, 2: 1}, others=(images,))
    values = tiny_config(stages=(stage,))
    recipe = Mini(values, data, WORDS, choose_compute("cpu", "float32"), group.every)
    return Run(recipe, out / "mini", values.optimiser, CADENCE, Silent(), replace(group, sharded=False))


def self_forcing(data: Path, out: Path, group: Group) -> Run:
    """A stage with two optimisers, whose processes must agree on the exit step."""
    values, who = config(), roles()
    if group.sharded:
        shard_all([b.transformer for b in (who.student, who.teacher, who.critic) if b], COMPUTE.device, group)
    recipe: Matching = SelfForcing(values.self_forcing, values, Clips(values, data), who, COMPUTE)  # type: ignore[arg-type]
    recipe.parts = group.every
    made: Recipe = recipe
    assert values.self_forcing is not None
    return Run(made, out / "self-forcing", values.self_forcing.optimiser, CADENCE, Silent(), group)


def train_all(data: Path, out: Path, group: Group) -> None:
    """Both runs, the second in two legs."""
    mini(data, out, group).train()
    self_forcing(data, out, group).train(max_steps=3)
    second = self_forcing(data, out, group)
    assert second.resume()
    second.train()


def main(arguments: Sequence[str]) -> None:
    data, out, parts, sharded = arguments
    torch.set_num_threads(1)
    group = join("cpu", parts=int(parts), sharded=sharded == "sharded")
    train_all(Path(data), Path(out), group)
    group.leave()


if __name__ == "__main__":
    main(sys.argv[1:])
