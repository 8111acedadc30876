"""`longtake train` as typed by a user, and the folders it exports."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from longtake.errors import UserError
from longtake.models.text import TextEncoder
from longtake.models.wan import WanTransformer
from longtake.train.app import app, parse_levels
from longtake.train.checkpoint import checkpoints
from longtake.train.config import LatentsConfig, MiniConfig, Stage
from longtake.train.distil.stages import STAGES
from longtake.train.export import averaged_networks
from longtake.train.loop import Run
from longtake.train.recipe_file import load_config, recipe_names
from longtake.train.report import RunReport
from longtake.train.start import exported_weights, mini_run, train_mini
from tests.train.sets import tiny_config, write_set

runner = CliRunner()


def test_list_names_every_recipe_with_its_command() -> None:
    listed = json.loads(runner.invoke(app, ["list", "--json"]).stdout)
    assert {entry["name"] for entry in listed} == set(recipe_names()) | {info.name for info in STAGES}
    assert all(entry["summary"] and entry["command"].startswith("longtake train ") for entry in listed)
    assert "longtake train mini" in runner.invoke(app, ["list"]).stdout


def test_shipped_recipes_are_valid() -> None:
    for name in ("mini", "mini-leg", "smoke"):
        assert load_config(name, MiniConfig).stages
    assert load_config("latents", LatentsConfig).clips >= 20_000


def test_recipes_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        yaml.safe_dump({"stages": [{"name": "a", "steps": 0, "batch_size": 1, "frames": 1}], "sede": 1})
    )
    with pytest.raises(
        UserError, match=r"stages\.0\.steps: .*greater than 0 \(given 0\); sede is not a known field"
    ):
        load_config(str(path), MiniConfig)
    path.write_text("stages: [")
    with pytest.raises(UserError, match="is not YAML"):
        load_config(str(path), MiniConfig)
    with pytest.raises(UserError, match=r"nothing.*one of: .*mini"):
        load_config("nothing", MiniConfig)


def test_levels_are_read_and_checked() -> None:
    assert parse_levels("1:60,2:30") == {1: 60.0, 2: 30.0}
    for wrong in ("1", "4:1", "1:-1,2:3", "1:0", "a:b"):
        with pytest.raises(UserError, match=wrong):
            parse_levels(wrong)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    data = write_set(tmp_path_factory.mktemp("set"))
    out = tmp_path_factory.mktemp("run") / "a"
    assert train_mini(tiny_config(), data, out, device="cpu")
    return data, out


def test_a_run_is_not_overwritten_and_nothing_is_not_resumed(run: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = run
    with pytest.raises(UserError, match="add --resume"):
        train_mini(tiny_config(), data, out)
    with pytest.raises(UserError, match="no checkpoint to resume"):
        train_mini(tiny_config(), data, tmp_path / "new", resume=True)


def test_a_finished_run_can_be_lengthened(run: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = run
    shutil.copytree(out, tmp_path / "longer")
    config = tiny_config()
    last = config.stages[-1].model_copy(update={"steps": config.stages[-1].steps + 2, "decay_steps": 0})
    longer = config.model_copy(update={"stages": (*config.stages[:-1], last)})
    assert train_mini(longer, data, tmp_path / "longer", resume=True)
    assert (tmp_path / "longer" / "checkpoint-00000010.safetensors").exists()


def test_ctrl_c_ends_the_step_and_saves(
    run: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = run
    step = Run._step
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what runs in the background

    def interrupted(self: Run, stage: Stage, within: int) -> tuple[float, float]:
        if self.position.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, stage, within)

    monkeypatch.setattr(Run, "_step", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_mini(tiny_config(), data, tmp_path)
    finally:
        signal.signal(signal.SIGINT, heard)
    assert checkpoints(tmp_path)[-1].stem == "checkpoint-00000003"


def test_export_writes_folders_that_load_and_a_card(run: tuple[Path, Path], tmp_path: Path) -> None:
    _, out = run
    assert runner.invoke(app, ["export", "--run", str(out), "--out", str(tmp_path)]).exit_code == 0
    networks = averaged_networks(out)
    transformer, text = WanTransformer.from_pretrained(tmp_path / "transformer"), TextEncoder.load(tmp_path)
    for name, value in transformer.state_dict().items():
        assert torch.equal(value, networks.transformer.state_dict()[name].half().float()), name
    assert text.known_words == networks.text.known_words
    embedding = text.encode(["a red sphere rolls to the right"])
    difference = (embedding - networks.text.encode(["a red sphere rolls to the right"])).abs().max()
    assert difference < 1e-2, f"differs by {difference}"
    card = (tmp_path / "README.md").read_text()
    for word in ("8 steps", "hours of wall time", "| images |", "sigma_0.5", "held_out"):
        assert word in card


def test_a_run_begins_with_the_weights_of_a_models_folder(run: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = run
    folder = tmp_path / "model"
    assert runner.invoke(app, ["export", "--run", str(out), "--out", str(folder)]).exit_code == 0
    again = mini_run(tiny_config(), data, tmp_path / "again", RunReport())
    again.begin_with(exported_weights(folder, again.named), folder)
    expected = averaged_networks(out)
    for name, value in expected.named_parameters():
        assert torch.equal(again.named[name], value.half().float()), name
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(UserError, match="text_encoder"):
        train_mini(tiny_config(), data, tmp_path / "more", restart_from=folder)


def test_a_run_begins_with_narrower_feed_forward_layers(run: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = run
    folder = tmp_path / "model"
    assert runner.invoke(app, ["export", "--run", str(out), "--out", str(folder)]).exit_code == 0
    sizes, stage = (
        tiny_config().transformer,
        Stage(name="clips", steps=1, batch_size=2, frames=2, levels={1: 1, 2: 1}),
    )
    wider = sizes.model_copy(update={"ffn_dim": sizes.ffn_dim + 16})
    leg = tiny_config(transformer=wider, stages=(stage,))
    assert train_mini(leg, data, tmp_path / "leg", restart_from=folder)
    deeper = sizes.model_copy(update={"num_layers": sizes.num_layers + 1})
    with pytest.raises(UserError, match="of other networks"):
        train_mini(tiny_config(transformer=deeper), data, tmp_path / "deep", restart_from=folder)


def test_export_refuses_what_is_not_a_run(tmp_path: Path) -> None:
    result = runner.invoke(app, ["export", "--run", str(tmp_path), "--out", str(tmp_path / "m")])
    assert isinstance(result.exception, UserError)
    assert not (tmp_path / "m").exists()
