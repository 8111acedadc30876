"""The chain with its real stages on tiny networks: from nothing to a model that streams. All of it is a soak test."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import longtake
from longtake.models.wan import WanTransformer
from longtake.train.chain.config import ChainConfig, chain_config
from longtake.train.chain.run import Chain
from longtake.train.chain.state import ChainState
from longtake.train.chain.works import Resources, make_data, works
from longtake.train.checkpoint import checkpoints, load_checkpoint, select


def short(**changes: object) -> ChainConfig:
    """The smoke chain with one stage of every kind, and gates of one short take."""
    smoke = chain_config("smoke")
    stages = ("pretrain", "causal", "consistency", "dmd", "self-forcing")
    gates = {stage: smoke.gates[stage].model_copy(update={"prompts": 1, "seconds": 0.5}) for stage in stages}
    data = smoke.data.model_copy(update={"clips": 4, "validation_clips": 2, "shard_clips": 4})
    return smoke.model_copy(update={"stages": stages, "gates": gates, "data": data} | changes)


def run(config: ChainConfig, folder: Path, said: list[str] | None = None, **options: str) -> bool:
    resources = Resources(device="cpu", threads=torch.get_num_threads())
    make_data(folder / "data", config.data, workers=1)
    lines = [] if said is None else said
    chain = Chain(config, folder, folder / "data", works(config, resources), say=lines.append)
    return chain.run(**options)  # type: ignore[arg-type]


def weights(model: Path) -> dict[str, Tensor]:
    return WanTransformer.from_pretrained(model / "transformer").float().state_dict()


def averaged(run: Path) -> dict[str, Tensor]:
    _, tensors = load_checkpoint(checkpoints(run)[-1])
    return {name.removeprefix("transformer."): value for name, value in select(tensors, "average").items()}


def test_the_chain_goes_from_nothing_to_a_student_that_streams(tmp_path: Path) -> None:
    config, said = short(), list[str]()
    assert run(config, tmp_path, said)
    done = ChainState(tmp_path).done()
    assert list(done) == list(config.stages)
    assert not done["pretrain"].passed, "gates are held"
    assert "gate missed" in said[0], "and reported"
    assert "legible is 0, asked >= 0.9" in said[0]
    for stage in config.stages:
        assert (tmp_path / stage / "gate.png").exists(), stage
        assert (tmp_path / stage / "loss.png").exists(), stage
    student = longtake.load(tmp_path / "self-forcing" / "model")
    for name, value in weights(tmp_path / "dmd" / "model").items():
        assert torch.equal(value, averaged(tmp_path / "dmd")[name].half().float()), (
            f"{name} is not dmd's average"
        )
    [chunk] = student.stream("a red sphere rolls to the right", seed=1, num_frames=9)
    assert chunk.frames.shape == (9, 96, 96, 3)


@pytest.mark.soak
def test_every_stage_of_the_smoke_chain(tmp_path: Path) -> None:
    config = chain_config("smoke")
    assert run(config, tmp_path)
    assert set(ChainState(tmp_path).done()) == set(config.stages)
