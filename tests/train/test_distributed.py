"""Two processes (gloo) and one, same global batch: the same losses, weights and checkpoints; sharded or not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from longtake.errors import UserError
from longtake.train.checkpoint import checkpoints, load_checkpoint
from longtake.train.distil.stages import stage_info
from longtake.train.distil.start import stage_group
from longtake.train.distributed import ALONE, Group
from longtake.train.launch import without_nproc
from longtake.train.sharding import checkpoint_blocks
from tests.tiny import TINY_WAN, tiny_transformer
from tests.train.distil.toys import config
from tests.train.ranks import STEPS, train_all
from tests.train.sets import write_set


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    train_all(data, out, Group(parts=2))
    return out


def together(data: Path, out: Path, how: str) -> Path:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    command += ["tests.train.ranks", str(data), str(out), "1", how]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=600
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return out


def lines(out: Path, run: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (out / run / "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == "train"]


@pytest.mark.parametrize("how", ["replicated", "sharded"])
def test_two_processes_do_what_one_does(data: Path, alone: Path, tmp_path: Path, how: str) -> None:
    out = together(data, tmp_path, how)
    assert len(lines(out, "mini")) == STEPS, "the first process logs, and it alone"
    for run in ("mini", "self-forcing"):
        for one, two in zip(lines(alone, run), lines(out, run), strict=True):
            for figure in ("loss", "critic_loss"):
                if figure in one:
                    gap = abs(one[figure] - two[figure])
                    assert gap < 1e-5 * max(1, abs(one[figure])), f"{run} step {one['step']} {figure}: {gap}"
        (_, mine), (_, theirs) = (load_checkpoint(checkpoints(place / run)[-1]) for place in (alone, out))
        assert mine.keys() == theirs.keys()
        worst = max(float((mine[name].float() - theirs[name].float()).abs().max()) for name in mine)
        assert worst < 1e-4, f"{run}: checkpoints differ by {worst}"


def test_parts_are_numbered_through() -> None:
    drawn = [Group(rank=rank, size=3, parts=2).draws(step=5) for rank in range(3)]
    assert drawn == [[30, 31], [32, 33], [34, 35]]
    assert Group(size=1, parts=6).draws(step=5) == [*drawn[0], *drawn[1], *drawn[2]], "the same draws"
    assert ALONE.draws(step=7) == [7]


def test_torchrun_is_not_given_our_own_option() -> None:
    given = ["train", "stage", "dmd", "--nproc", "8", "--out", "a", "--nproc=8", "--shard"]
    assert without_nproc(given) == ["train", "stage", "dmd", "--out", "a", "--shard"]


def test_a_mistake_in_several_processes_is_said_without_a_trace_back(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "longtake", "train", "stage", "dmd", "--nproc", "2", "--data", str(data)]
    command += ["--out", str(tmp_path / "run"), "--teacher", "nowhere", "--student", "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2
    assert "error: " in ended.stderr
    assert "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "elastic" not in ended.stderr


def test_an_update_that_cannot_be_shared_out_is_refused() -> None:
    published = config().dmd
    assert published is not None
    info = stage_info("dmd")
    spec = published.model_copy(update={"batch_size": 2, "global_batch": 6})
    assert stage_group(spec, info, "cpu", None).parts == 3
    with pytest.raises(
        UserError, match="an update of 7 clips cannot be shared by 1 processes with batches of 2"
    ):
        stage_group(spec.model_copy(update={"global_batch": 7}), info, "cpu", None)


def test_checkpointed_blocks_have_the_same_gradients() -> None:
    plain, again = (tiny_transformer().requires_grad_(True) for _ in range(2))
    checkpoint_blocks(again)
    counted = [0]
    again.blocks[0].norm1.register_forward_hook(lambda *_: counted.__setitem__(0, counted[0] + 1))
    latents, text = torch.randn(1, 16, 3, 4, 4), torch.randn(1, 5, TINY_WAN.text_dim)
    for network in (plain, again):
        network(latents, torch.full((1, 3), 500.0), text).square().mean().backward()
    assert counted[0] == 2, "the block ran again for the backward pass"
    for (name, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert isinstance(one, nn.Parameter)
        assert torch.equal(one.grad, other.grad), name  # type: ignore[arg-type]
    with torch.no_grad():
        again(latents, torch.full((1, 3), 500.0), text)
    assert counted[0] == 3, "passes without a gradient run once"
