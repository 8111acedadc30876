"""The enhancer's recipe on tiny networks: what is learnt, that it falls, and that what it writes opens."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

import longtake
from longtake.enhance.enhancer import Enhancer
from longtake.enhance.levels import Level, flow_levels
from longtake.enhance.solver import Ddim
from longtake.enhance.wan import WanDenoiser
from longtake.errors import UserError
from longtake.measure.random_weights import redraw
from longtake.models.text import TextEncoder
from longtake.train.config import OptimiserConfig, Stage, TransformerConfig
from longtake.train.device import choose_compute
from longtake.train.enhance import Enhance, EnhanceRecipe, bridge
from longtake.train.enhance_pairs import CLEAN, POOR, PairsConfig, make_pairs
from longtake.train.enhance_run import export, spec, train
from longtake.train.recipe_file import load_config
from longtake.train.store import LatentSet
from tests.enhance.tiny import clip

MINI = Path(longtake.__file__).parent / "weights" / "mini"
RECIPE = EnhanceRecipe(
    pairs=PairsConfig(clips=6, validation_clips=2, shard_clips=6, levels={1: 1.0}, latent_frames=4, size=32),
    transformer=TransformerConfig(
        num_attention_heads=2, attention_head_dim=12, ffn_dim=32, num_layers=1, freq_dim=16
    ),
    window=3,
    overlap=1,
    steps=2,
    optimiser=OptimiserConfig(hidden="adamw", adamw_lr=0.02, warmup_steps=2),
    stages=(
        Stage(name="pictures", steps=2, batch_size=2, frames=1),
        Stage(name="windows", steps=3, batch_size=4, frames=3),
    ),
    log_steps=1,
    validate_steps=1000,
)


class Told:
    """Keeps the lines of the log."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def record(self, record) -> None:  # type: ignore[no-untyped-def]
        self.lines.append(dict(record))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder with mini's own codec and text encoder, whose latents have the spread that training expects."""
    folder = tmp_path_factory.mktemp("model")
    for part in ("codec", "text_encoder", "tokenizer"):
        (folder / part).symlink_to(MINI / part)
    return folder


@pytest.fixture(scope="module")
def pairs(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    make_pairs(folder, model / "codec", RECIPE.pairs, workers=1, progress=lambda done, total: None)
    return folder


def recipe(model: Path, pairs: Path, prediction: Literal["velocity", "sample"] = "velocity") -> Enhance:
    told = RECIPE.model_copy(update={"prediction": prediction})
    return Enhance(told, pairs, TextEncoder.load(model).eval(), choose_compute("cpu", "float32"))


def test_pairs_show_the_same_clips_one_side_poorer(pairs: Path) -> None:
    clean, poor = (LatentSet(pairs / side).spread(6) for side in (CLEAN, POOR))
    assert clean.records == poor.records
    assert clean.latents.shape == poor.latents.shape == (6, 24, 4, 4, 4)
    near = (clean.latents - poor.latents).square().mean()
    far = (clean.latents - poor.latents.roll(1, 0)).square().mean()
    assert 0 < near < far


def test_pairs_that_are_there_are_kept(model: Path, pairs: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pairs.rglob("*.safetensors")}
    make_pairs(pairs, model / "codec", RECIPE.pairs, workers=1, progress=lambda done, total: None)
    assert {path: path.stat().st_mtime_ns for path in pairs.rglob("*.safetensors")} == before


def test_the_target_leads_sdedits_start_to_the_clean_clip() -> None:
    """Stepping along the learnt velocity from where SDEdit begins, as in use, ends in the clean latents."""
    generator = torch.Generator().manual_seed(0)
    clean, poor, noise = (torch.randn(1, 2, 3, 2, 2, generator=generator) for _ in range(3))
    levels = flow_levels(0.6, 3, shift=2.0)
    velocity = bridge(clean, poor, noise, torch.tensor(0.6))
    x = levels[0].alpha * poor + levels[0].sigma * noise
    for step, level in enumerate(levels[:-1]):
        x = Ddim().step(x, x - level.sigma * velocity, None, levels, step, None)
    torch.testing.assert_close(x, clean, atol=1e-5, rtol=0)
    assert torch.equal(bridge(clean, poor, noise, torch.tensor(1.0)), noise - clean)


@pytest.mark.parametrize("prediction", ["velocity", "sample"])
def test_training_and_use_agree_on_what_is_predicted(
    prediction: Literal["velocity", "sample"], model: Path, pairs: Path
) -> None:
    """x − σ·v of the recipe is what the denoiser calls clean."""
    learner = recipe(model, pairs, prediction)
    transformer = learner.networks.transformer
    redraw(transformer, 3)
    in_use = WanDenoiser(
        backbone=transformer, text_encoder=learner.text, prediction=spec(learner.recipe).schedule.prediction
    )
    x = torch.randn(1, *learner.clean.latent_shape[:1], 3, *learner.clean.latent_shape[2:])
    velocity = learner._predict(learner.networks, x, np.array([0.4]), ["a red sphere"])
    level = Level(timestep=400.0, alpha=0.6, sigma=0.4)
    clean = in_use.clean(x, level, in_use.read("a red sphere"))
    torch.testing.assert_close(clean, x - 0.4 * velocity, atol=1e-4, rtol=0)


def test_loss_is_a_function_of_the_step(model: Path, pairs: Path) -> None:
    first, second = recipe(model, pairs), recipe(model, pairs)
    stage = RECIPE.stages[1]
    assert torch.equal(first.loss(stage, 3), second.loss(stage, 3))
    assert not torch.equal(first.loss(stage, 3), first.loss(stage, 4))


@pytest.mark.parametrize("prediction", ["velocity", "sample"])
def test_the_loss_falls(prediction: Literal["velocity", "sample"], model: Path, pairs: Path) -> None:
    learner, stage = recipe(model, pairs, prediction), RECIPE.stages[1]
    optimiser = torch.optim.AdamW(learner.networks.parameters(), lr=0.01)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = learner.loss(stage, 0)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0], losses


def test_a_run_writes_what_opens(model: Path, pairs: Path, tmp_path: Path) -> None:
    told, run = Told(), tmp_path / "run"
    assert train(RECIPE, pairs, model, run, told, device="cpu")
    validations = [line for line in told.lines if line["kind"] == "validation"]
    assert {"sigma_0.2", "sigma_0.5", "error_left"} <= set(validations[-1])
    assert list(run.glob("samples-*.png"))
    export(run, model / "enhancer")
    enhancer = Enhancer.from_pretrained(model / "enhancer")
    assert (enhancer.spec.window, enhancer.spec.steps, enhancer.spec.scale) == (3, 2, 2)
    frames = [chunk.frames for chunk in enhancer.stream(clip(13), "a red sphere", fps=8)]
    assert sum(map(len, frames)) == 13
    assert frames[0].shape[1:] == (32, 32, 3)


def test_the_shipped_recipe_reads(tmp_path: Path) -> None:
    shipped = load_config("enhance", EnhanceRecipe)
    assert shipped.pairs.size == 2 * 96
    assert shipped.overlap * 2 <= shipped.window < shipped.pairs.latent_frames
    with pytest.raises(UserError, match="holds no run of `longtake train enhance`"):
        export(tmp_path, tmp_path)
