"""The enhancer's recipe on stored noise: what it refuses, what its figures are called, and that it can be stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from longtake.errors import UserError
from longtake.models.text import TextEncoder
from longtake.models.wan import WanTransformer
from longtake.train import enhance_pairs
from longtake.train.app import app
from longtake.train.checkpoint import checkpoints
from longtake.train.config import OptimiserConfig, Stage, TransformerConfig
from longtake.train.device import choose_compute
from longtake.train.enhance import Enhance, EnhanceRecipe
from longtake.train.enhance_pairs import CLEAN, POOR, PairsConfig, make_pairs
from longtake.train.enhance_run import export, spec, train
from tests.tiny import tiny_folder, tiny_patch_codec, tiny_pipeline
from tests.train.sets import FRAMES, write_set

RECIPE = EnhanceRecipe(
    pairs=PairsConfig(latent_frames=FRAMES, size=32),
    transformer=TransformerConfig(
        num_attention_heads=2, attention_head_dim=12, ffn_dim=32, num_layers=1, freq_dim=16
    ),
    window=3,
    overlap=1,
    steps=2,
    optimiser=OptimiserConfig(hidden="adamw", warmup_steps=2),
    stages=(Stage(name="windows", steps=3, batch_size=2, frames=3),),
    log_steps=1,
    validate_steps=1000,
)


class Silent:
    def record(self, record: Mapping[str, object]) -> None:
        pass


class Interrupted:
    """Presses Ctrl-C once a step is logged."""

    def record(self, record: Mapping[str, object]) -> None:
        if record["step"] == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"), tiny_pipeline())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_set(folder / CLEAN)
    write_set(folder / POOR)
    tiny_patch_codec().save_pretrained(folder / "codec")
    return folder


def learner(recipe: EnhanceRecipe, data: Path, model: Path) -> Enhance:
    return Enhance(recipe, data, TextEncoder.load(model).eval(), choose_compute("cpu", "float32"))


def changed(**values: object) -> EnhanceRecipe:
    """The recipe with other values, checked as one that is read from a file."""
    return EnhanceRecipe.model_validate(RECIPE.model_dump() | values)


def test_figures_are_named_by_the_noise_that_they_are_measured_at(data: Path, model: Path) -> None:
    for strength, names in (
        (0.5, {"sigma_0.2", "sigma_0.4", "sigma_0.5"}),
        (0.3, {"sigma_0.2", "sigma_0.3"}),
    ):
        subject = learner(changed(strength=strength), data, model)
        weights = {name: p.detach() for name, p in subject.networks.named_parameters()}
        assert subject.validate(weights, 3).keys() == names | {"error_left"}


def test_it_may_begin_as_the_models_transformer(data: Path, model: Path, tmp_path: Path) -> None:
    own = WanTransformer.from_pretrained(model / "transformer")
    sizes = {name: getattr(own.config, name) for name in TransformerConfig.model_fields}
    stage = RECIPE.stages[0].model_dump()
    recipe = changed(begin="transformer", transformer=sizes, stages=[{**stage, "lr": 1e-9}])
    train(recipe, data, model, tmp_path / "run", Silent())
    export(tmp_path / "run", tmp_path / "enhancer")
    made = WanTransformer.from_pretrained(tmp_path / "enhancer" / "transformer").state_dict()
    assert all(torch.allclose(made[name], value, atol=1e-3) for name, value in own.state_dict().items())
    other = changed(begin="transformer", transformer=sizes | {"ffn_dim": 8})
    with pytest.raises(UserError, match=f"has ffn_dim {own.config.ffn_dim}; give the recipe's transformer"):
        train(other, data, model, tmp_path / "other", Silent())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"precision": "bf16"}, "bfloat16"),
        ({"kind": "mini"}, "enhance"),
        ({"overlap": 2}, "more than half of window 3"),
        (
            {"stages": [{"name": "a", "steps": 1, "batch_size": 1, "frames": FRAMES + 1}]},
            f"clips of {FRAMES}",
        ),
        ({"stages": []}, "at least one"),
    ],
)
def test_recipes_that_could_not_be_used_are_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        changed(**values)


def test_pairs_shorter_than_a_stage_are_refused(data: Path, model: Path) -> None:
    long = RECIPE.stages[0].model_copy(update={"frames": FRAMES + 1})
    with pytest.raises(UserError, match=f"{FRAMES} latent frames.*{FRAMES + 1}"):
        learner(RECIPE.model_copy(update={"stages": (long,)}), data, model)


def test_what_is_exported_says_how_much_larger_it_makes(data: Path) -> None:
    assert "3" in spec(changed(pairs=RECIPE.pairs.model_copy(update={"scale": 3}).model_dump())).summary


def test_ctrl_c_ends_the_step_and_saves(data: Path, model: Path, tmp_path: Path) -> None:
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(RECIPE, data, model, tmp_path, Interrupted(), device="cpu")
    finally:
        signal.signal(signal.SIGINT, heard)
    assert checkpoints(tmp_path)[-1].stem == "checkpoint-00000001"


def test_pairs_of_other_settings_are_not_mixed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(enhance_pairs, "_write", lambda job: made.append(job.name))

    def make(**values: object) -> None:
        config = RECIPE.pairs.model_copy(update={"clips": 300, **values})
        make_pairs(tmp_path, model / "codec", config, workers=1, progress=lambda done, total: None)

    make()
    with pytest.raises(UserError, match=r"size 32, not 64; latent_noise 0\.3, not 0\.1"):
        make(size=64, latent_noise=0.1)
    with pytest.raises(UserError, match="levels"):
        make(levels={1: 1.0})
    assert made == ["validation", "shard-000000", "shard-000001"]
    make(clips=600)
    assert made[-1] == "shard-000002"


def test_pairs_of_settings_that_nobody_wrote_down_are_refused(
    data: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enhance_pairs, "_write", lambda job: None)
    with pytest.raises(UserError, match=r"without pairs\.json"):
        make_pairs(data, model / "codec", RECIPE.pairs, workers=1, progress=lambda done, total: None)


def test_the_command_trains_on_so_many_threads_and_overwrites_no_run(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enhance_pairs, "make_pairs", lambda *given, **more: None)
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE.model_dump(mode="json")))
    places = {"config": recipe, "data": data, "out": tmp_path / "run", "model": model}
    options = [f"--{name}={path}" for name, path in places.items()]
    result = CliRunner().invoke(app, ["enhance", *options, "--device", "cpu", "--threads", "3"])
    assert result.exit_code == 0, result.output
    assert threads == [3]
    assert isinstance(CliRunner().invoke(app, ["enhance", *options]).exception, UserError)
