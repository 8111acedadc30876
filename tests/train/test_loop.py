"""The training loop: exact resume, checkpoints that a kill or a full disk cannot spoil, schedules, averages."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.train import checkpoint
from longtake.train.checkpoint import Position, checkpoints, load_checkpoint, save_checkpoint
from longtake.train.config import OptimiserConfig, Stage
from longtake.train.device import choose_compute
from longtake.train.loop import Cadence, Run, stage_at
from longtake.train.mini import Mini
from longtake.train.muon import orthogonalise
from longtake.train.optimise import Optimiser, WeightAverage, lr_factor
from tests.train.sets import WORDS, tiny_config, write_set


class Silent:
    def record(self, record: Mapping[str, object]) -> None:
        pass


class KillAt:
    """Ends the process as the kernel would, once a step is logged."""

    def __init__(self, step: int) -> None:
        self.step = step

    def record(self, record: Mapping[str, object]) -> None:
        if record["step"] == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def make_run(data: Path, folder: Path, report: object = None, save_always: bool = False) -> Run:
    config = tiny_config()
    cadence = Cadence(
        checkpoint_minutes=0.0 if save_always else 60.0, sample_minutes=60.0, log_steps=1, validate_steps=4
    )
    recipe = Mini(config, data, WORDS, choose_compute("cpu", "float32"))
    return Run(recipe, folder, config.optimiser, cadence, report or Silent())  # type: ignore[arg-type]


def tensors(folder: Path) -> dict[str, Tensor]:
    return load_checkpoint(checkpoints(folder)[-1])[1]


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different, f"{len(different)} of {len(one)} tensors differ, as {different[:3]}"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    assert make_run(data, folder).train()
    return folder


def test_weights_averages_and_moments_move(unbroken: Path, data: Path, tmp_path: Path) -> None:
    before = dict(make_run(data, tmp_path).named)
    after = tensors(unbroken)
    assert all(not torch.equal(after[f"weights/{name}"], value) for name, value in before.items())
    assert any(name.endswith("/momentum") for name in after)
    assert any(name.endswith("/exp_avg_sq") for name in after)


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_run_in_two_legs_equals_an_unbroken_one(
    data: Path, unbroken: Path, tmp_path: Path, stop: int
) -> None:
    assert not make_run(data, tmp_path).train(max_steps=stop)
    second = make_run(data, tmp_path)
    assert second.resume()
    assert second.position.step == stop
    assert second.train()
    assert_same(tensors(tmp_path), tensors(unbroken))


def test_a_killed_run_resumes_bit_identically(data: Path, unbroken: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.train.test_loop import KillAt, make_run; import torch;"
        "torch.set_num_threads(int(sys.argv[3]));"
        "make_run(Path(sys.argv[1]), Path(sys.argv[2]), KillAt(6), save_always=True).train()"
    )
    command = [sys.executable, "-c", program, str(data), str(tmp_path), str(torch.get_num_threads())]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, timeout=300)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-500:]
    (tmp_path / "checkpoint-00000099.part").write_bytes(b"half a checkpoint")
    run = make_run(data, tmp_path)
    assert run.resume()
    assert 0 < run.position.step < 6
    assert run.train()
    assert_same(tensors(tmp_path), tensors(unbroken))
    assert not list(tmp_path.glob("*.part"))
    steps = [r["step"] for r in run.log.records() if r["kind"] == "train"]
    assert steps == sorted(set(steps)), "a resumed run logs no step twice"


def test_new_shards_are_taken_up_at_a_checkpoint_and_remembered(data: Path, tmp_path: Path) -> None:
    grown = write_set(tmp_path / "set", shards=1)
    run = make_run(grown, tmp_path / "run")
    run.train(max_steps=2)
    write_set(grown, shards=2)
    run.train(max_steps=1)
    assert run.position.shards == ("shard-000000", "shard-000001")
    resumed = make_run(grown, tmp_path / "run")
    resumed.resume()
    assert resumed.recipe.shards() == run.position.shards


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, Position(step=1), {"x": torch.ones(3)})

    def full(tensors: object, path: Path, metadata: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match=r"No space left.*checkpoint-00000001"):
        save_checkpoint(tmp_path, Position(step=2), {"x": torch.zeros(3)})
    position, stored = load_checkpoint(checkpoints(tmp_path)[-1])
    assert position.step == 1
    assert torch.equal(stored["x"], torch.ones(3))
    assert not list(tmp_path.glob("*.part"))


def test_old_checkpoints_make_room(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, Position(step=step), {"x": torch.ones(1)})
    assert [path.stem for path in checkpoints(tmp_path)] == ["checkpoint-00000003", "checkpoint-00000004"]


def test_a_loss_that_is_not_a_number_stops_and_names_the_last_good_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    run = make_run(data, tmp_path)
    run.train(max_steps=2)
    with torch.no_grad():
        next(iter(run.named.values())).fill_(float("nan"))
    with pytest.raises(UserError, match=r"loss is nan at step 2 of stage images.*checkpoint-00000002"):
        run.train(max_steps=1)
    assert torch.isfinite(tensors(tmp_path)["weights/transformer.proj_out.weight"]).all()


def test_a_checkpoint_of_other_networks_is_refused(data: Path, unbroken: Path, tmp_path: Path) -> None:
    run = make_run(data, tmp_path)
    run.named["extra"] = nn.Parameter(torch.zeros(2))
    with pytest.raises(UserError, match="other networks"):
        run.restart_from(checkpoints(unbroken)[-1])


def test_restarting_from_weights_begins_at_step_zero_with_the_average(
    data: Path, unbroken: Path, tmp_path: Path
) -> None:
    run = make_run(data, tmp_path)
    run.restart_from(checkpoints(unbroken)[-1])
    assert run.position.step == 0
    stored = tensors(unbroken)
    assert_same(run.named, {name: stored[f"average/{name}"] for name in run.named})


def test_the_log_tells_legs_losses_and_validation(unbroken: Path) -> None:
    records = [json.loads(line) for line in (unbroken / "log.jsonl").read_text().splitlines()]
    assert {record["kind"] for record in records} == {"leg", "train", "validation"}
    assert (unbroken / "loss.png").stat().st_size > 1000


def test_stages_follow_each_other() -> None:
    stages = [
        Stage(name="a", steps=3, batch_size=1, frames=1),
        Stage(name="b", steps=2, batch_size=1, frames=4),
    ]
    assert [(stage.name, within) for stage, within in (stage_at(stages, step) for step in range(5))] == [
        ("a", 0),
        ("a", 1),
        ("a", 2),
        ("b", 0),
        ("b", 1),
    ]
    with pytest.raises(UserError, match="beyond the last stage"):
        stage_at(stages, 5)


def test_learning_rate_warms_up_stays_and_falls() -> None:
    stage = Stage(name="a", steps=100, batch_size=1, frames=1, lr=2.0, decay_steps=50, lr_end=0.0)
    factors = [lr_factor(stage, step, step, 10) for step in range(100)]
    assert factors[0] == pytest.approx(0.2)
    assert factors[9:51] == pytest.approx([2.0] * 42)
    assert factors[75] == pytest.approx(1.0)
    assert 0 < factors[-1] < 0.05
    assert lr_factor(stage, 60, 0, 10) == pytest.approx(factors[60] / 10), "a restart warms up again"


def test_newton_schulz_brings_singular_values_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 16, 16), (2, 32, 8), (2, 8, 32)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=generator), 5))
        assert values.min() > 0.3, f"{shape}: {values.min()}"
        assert values.max() < 1.3, f"{shape}: {values.max()}"


@pytest.mark.parametrize("hidden", ["muon", "adamw"])
def test_muon_takes_the_hidden_matrices_only(hidden: str, data: Path, tmp_path: Path) -> None:
    networks = make_run(data, tmp_path).recipe.networks
    optimiser = Optimiser(dict(networks.named_parameters()), OptimiserConfig(hidden=hidden))  # type: ignore[arg-type]
    assert len(optimiser.parts) == (2 if hidden == "muon" else 1)
    if hidden == "muon":
        hidden_ids = {id(p) for p in optimiser.parts[1].param_groups[0]["params"]}
        names = {name for name, p in networks.named_parameters() if id(p) in hidden_ids}
        assert names
        assert all(name.startswith("transformer.blocks.") and name.endswith("weight") for name in names)


def test_the_power_average_forgets_its_start() -> None:
    weights = {"x": torch.zeros(1)}
    average = WeightAverage(weights, gamma=16.97)
    for step in range(1, 201):
        average.update({"x": torch.full((1,), float(step))}, step)
    assert 185 < average.values["x"].item() < 195, "the mean age is about a nineteenth of the steps"
