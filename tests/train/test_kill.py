"""Kill -9 at random steps, between the student's update and the critic's: the resumed run gives the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from longtake.train.checkpoint import checkpoints, load_checkpoint
from longtake.train.config import Stage
from longtake.train.distributed import ALONE
from longtake.train.loop import Run
from tests.train import ranks
from tests.train.sets import write_set

ROOT = Path(__file__).parents[2]
RUNS = {"mini": ranks.mini, "self-forcing": ranks.self_forcing}


def made(name: str, data: Path, out: Path) -> Run:
    """A run that saves after every step."""
    run = RUNS[name](data, out, ALONE)
    run.cadence = replace(run.cadence, checkpoint_minutes=0.0)
    return run


def kill_in(run: Run, step: int) -> None:
    """End the process as the kernel would, in the middle of a step."""
    last = run.recipe.critic_loss if run.rival else run.recipe.loss  # type: ignore[attr-defined]

    def killing(stage: Stage, draw: int) -> Tensor:
        if draw == step:
            os.kill(os.getpid(), signal.SIGKILL)
        loss: Tensor = last(stage, draw)
        return loss

    setattr(run.recipe, "critic_loss" if run.rival else "loss", killing)


def main(name: str, data: str, out: str, step: str, threads: str) -> None:
    """A leg that is killed in `step`."""
    torch.set_num_threads(int(threads))
    run = made(name, Path(data), Path(out))
    run.resume()
    kill_in(run, int(step))
    run.train()


def killed_leg(name: str, data: Path, out: Path, step: int) -> None:
    program = "import sys; from tests.train.test_kill import main; main(*sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        program,
        name,
        str(data),
        str(out),
        str(step),
        str(torch.get_num_threads()),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=600)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-1000:]


def stored(out: Path, name: str) -> dict[str, Tensor]:
    return load_checkpoint(checkpoints(out / name)[-1])[1]


def hold(name: str, tmp_path: Path, kills: int) -> None:
    """A run killed at so many random steps, and one that was not."""
    data = write_set(tmp_path / "set")
    unbroken = made(name, data, tmp_path / "unbroken")
    assert unbroken.train()
    rng = np.random.default_rng()
    steps = sorted(rng.choice(unbroken.total, size=min(kills, unbroken.total), replace=False).tolist())
    for step in steps:
        killed_leg(name, data, tmp_path / "killed", step)
    last = made(name, data, tmp_path / "killed")
    assert last.resume() or steps == [0]
    assert last.position.step == steps[-1], f"killed in {steps}: the steps before the last kill are done"
    assert last.train()
    one, other = stored(tmp_path / "unbroken", name), stored(tmp_path / "killed", name)
    assert one.keys() == other.keys()
    different = [key for key in one if not torch.equal(one[key], other[key])]
    assert not different, f"killed in {steps}: {len(different)} tensors differ, as {different[:3]}"


def test_a_killed_stage_of_two_optimisers_resumes_bit_identically(tmp_path: Path) -> None:
    hold("self-forcing", tmp_path, kills=1)


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(RUNS))
def test_kill_nine_at_ten_random_steps(name: str, tmp_path: Path) -> None:
    hold(name, tmp_path, kills=10)
