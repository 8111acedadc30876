"""The recipes of both memories on tiny networks: what is trained, that it learns, resumes and is exported."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from longtake import Pipeline, Settings
from longtake.errors import UserError
from longtake.models.streaming.config import FUSIONS, Fusion
from longtake.models.text import TextEncoder
from longtake.models.wan import WanTransformer
from longtake.train.app import app
from longtake.train.checkpoint import checkpoints, load_checkpoint
from longtake.train.config import OptimiserConfig, Stage
from longtake.train.counters import numbers
from longtake.train.device import choose_compute
from longtake.train.memories.clips import draw, drop, held_out
from longtake.train.memories.config import (
    ApmSizes,
    CamSizes,
    DropoutConfig,
    GuidedConfig,
    MemoryRecipe,
    OwnPastConfig,
)
from longtake.train.memories.networks import Remembering, fresh
from longtake.train.memories.recipe import Memories
from longtake.train.memories.run import export, train, trained
from longtake.train.recipe_file import load_config
from longtake.train.store import LatentSet
from tests.tiny import tiny_folder, tiny_patch_codec, tiny_pipeline
from tests.train.sets import write_set

STAGE = Stage(name="clips", steps=3, batch_size=4, frames=4, levels={1: 0.5, 2: 0.5})
CAM = MemoryRecipe(
    kind="cam",
    cam=CamSizes(last_layers=1, encoder_layers=1),
    apm=ApmSizes(width=4, hidden=8),
    block=2,
    stages=(STAGE,),
    optimiser=OptimiserConfig(hidden="adamw", adamw_lr=0.01, warmup_steps=2),
    log_steps=1,
    validate_steps=1000,
)
APM = CAM.model_copy(update={"kind": "apm"})


class Told:
    """Keeps the lines of the log."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def record(self, record) -> None:  # type: ignore[no-untyped-def]
        self.lines.append(dict(record))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path / "model", tiny_pipeline())


def learner(recipe: MemoryRecipe, data: Path, model: Path) -> Memories:
    text = TextEncoder.load(model).eval().requires_grad_(False)
    networks = fresh(recipe, WanTransformer.from_pretrained(model / "transformer"), text.max_length, None)
    return Memories(recipe, data, networks, text, tiny_patch_codec(), choose_compute("cpu", "float32"))


def test_clips_follow_the_image_and_the_jump_and_anchors_are_their_first_frame(data: Path) -> None:
    for step in range(4):
        sample = draw(APM, LatentSet(data), step, 16, {1: 0.5, 2: 0.5}, shown=2)
        assert sample.clean.shape == (16, 4, 4, 4, 4)
        assert torch.equal(sample.past, sample.clean[:, :, :2])
        for clip, anchor in zip(sample.clean, sample.anchor, strict=True):
            assert not any(torch.equal(clip[:, t], anchor) for t in range(4))


def test_conditions_are_dropped_as_often_as_published() -> None:
    recipe = APM.model_copy(update={"dropout": DropoutConfig()})
    dropped = drop(numbers(0, "test"), recipe, 40_000)
    shares = [
        (dropped.text & ~dropped.anchor).mean(),
        (~dropped.text & dropped.anchor).mean(),
        (dropped.text & dropped.anchor).mean(),
    ]
    assert np.allclose(shares, 0.05, atol=0.005), shares


@pytest.mark.parametrize("fusion", FUSIONS)
def test_only_the_memory_is_trained_and_the_loss_falls(fusion: Fusion, data: Path, model: Path) -> None:
    recipe = CAM.model_copy(update={"cam": CAM.cam.model_copy(update={"fusion": fusion})})
    subject = learner(recipe, data, model)
    named = {name: p for name, p in subject.networks.named_parameters() if p.requires_grad}
    assert all(name.startswith("cam.") for name in named)
    optimiser, losses = torch.optim.AdamW(named.values(), lr=0.01), []
    for _ in range(25):
        optimiser.zero_grad()
        loss = subject.loss(STAGE, 0)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0], losses


def test_the_first_loss_is_the_plain_transformers(data: Path, model: Path) -> None:
    one, two = learner(CAM, data, model), learner(APM, data, model)
    plain = learner(CAM, data, model)
    inner = plain.networks.transformer
    plain.networks = type(
        "Plain", (torch.nn.Module,), {"forward": lambda _, x, t, rows, *rest: inner(x, t, rows)}
    )()
    assert one.loss(STAGE, 1).item() == pytest.approx(plain.loss(STAGE, 1).item(), rel=1e-5)
    assert torch.isfinite(two.loss(STAGE, 1))


def test_both_memories_are_trained_together(data: Path, model: Path) -> None:
    subject = learner(APM, data, model)
    subject.loss(STAGE, 0).backward()
    moved = {
        name for name, p in subject.networks.named_parameters() if p.grad is not None and p.grad.abs().max()
    }
    assert any(name.startswith("cam.") for name in moved)
    assert {name for name in moved if name.startswith("apm.")} == {f"apm.mixings.{i}.alpha" for i in range(2)}


def test_a_run_resumed_is_the_run_never_stopped(data: Path, model: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(CAM, data, model, whole, Told())
    assert not train(CAM, data, model, parts, Told(), max_steps=1)
    assert train(CAM, data, model, parts, Told())
    one, two = (load_checkpoint(checkpoints(folder)[-1])[1] for folder in (whole, parts))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_some_frames_before_are_the_networks_own(data: Path, model: Path) -> None:
    recipe = CAM.model_copy(update={"own": OwnPastConfig(share=1.0, sigmas=(0.5, 0.9), steps=2)})
    subject, seen = learner(recipe, data, model), list[torch.Tensor]()
    encode = subject.networks.memories.cam.encode  # type: ignore[union-attr]
    subject.networks.memories.cam.encode = lambda past: (seen.append(past), encode(past))[1]  # type: ignore[union-attr]
    loss = subject.loss(STAGE, 0)
    sample = draw(recipe, LatentSet(data), 0, STAGE.batch_size, STAGE.levels, shown=2)
    own = sample.own > 0
    assert own.any()
    assert ((sample.own[own] >= 0.5) & (sample.own[own] <= 0.9)).all()
    assert torch.equal(sample.earlier[own][:, :, 2:], sample.past[own]), "it ends with the frames before"
    *again, last = seen
    assert len(again) == recipe.own.steps
    assert all(torch.equal(past, sample.earlier[own][:, :, :2]) for past in again), (
        "made from what came before"
    )
    assert not torch.isclose(last[own], sample.past[own]).all()
    assert torch.isfinite(loss)
    loss.backward()


def test_the_anchors_of_these_are_the_networks_own_too(data: Path, model: Path) -> None:
    own = OwnPastConfig(share=0.8, sigmas=(0.5, 0.9), steps=2)
    recipe = APM.model_copy(update={"own": own, "dropout": DropoutConfig(text=0, anchor=0.5, both=0)})
    subject, seen = learner(recipe, data, model), list[torch.Tensor]()
    apm = subject.networks.memories.apm  # type: ignore[union-attr]
    embed = apm.embed
    apm.embed = lambda anchor: (seen.append(anchor), embed(anchor))[1]  # type: ignore[union-attr]
    stage = STAGE.model_copy(update={"batch_size": 24})
    subject.loss(stage, 0)
    sample, used = draw(recipe, LatentSet(data), 0, 24, STAGE.levels, shown=2), seen[-1]
    own_past, absent = sample.own > 0, sample.dropped.anchor
    assert len({*zip(own_past, absent, strict=True)}) == 4, "all four kinds are in this batch"
    for i in range(24):
        if absent[i]:
            assert torch.equal(used[i], subject.grey)
        elif own_past[i]:
            assert not torch.isclose(used[i], sample.anchor[i]).all()
        else:
            assert torch.equal(used[i], sample.anchor[i])


def test_anchors_may_be_made_again_from_less_noise(data: Path, model: Path) -> None:
    def used(anchors: float) -> torch.Tensor:
        own = OwnPastConfig(share=1.0, sigmas=(0.8, 0.8), steps=2, anchors=anchors)
        nothing = DropoutConfig(text=0, anchor=0, both=0)
        subject = learner(APM.model_copy(update={"own": own, "dropout": nothing}), data, model)
        seen = list[torch.Tensor]()
        apm = subject.networks.memories.apm  # type: ignore[union-attr]
        embed = apm.embed
        apm.embed = lambda anchor: (seen.append(anchor), embed(anchor))[1]  # type: ignore[union-attr]
        subject.loss(STAGE, 0)
        return seen[-1]

    true, half, whole = used(0.0), used(0.5), used(1.0)
    stored = draw(APM, LatentSet(data), 0, STAGE.batch_size, STAGE.levels, shown=2).anchor
    assert torch.equal(true, stored)
    assert 0 < (half - stored).square().mean() < (whole - stored).square().mean()


def test_mixings_begin_as_the_recipe_says(model: Path) -> None:
    text = TextEncoder.load(model).eval()
    transformer = WanTransformer.from_pretrained(model / "transformer")
    rows = text.encode(["a red sphere"])
    plain = transformer.condition_embedder.text_embedder(rows)

    def mixed(**begin: float) -> torch.Tensor:
        recipe = APM.model_copy(update={"apm": ApmSizes(width=4, hidden=8, **begin)})
        cam = fresh(CAM, transformer, text.max_length, None).memories.cam
        apm = fresh(recipe, transformer, text.max_length, cam).memories.apm
        assert apm is not None
        latents = torch.randn(1, transformer.config.in_channels, 4, 6)
        mixing = apm.mixings[0]
        return mixing(plain, apm.tokens(apm.embed(latents)))  # type: ignore[no-any-return]

    assert torch.equal(mixed(), plain), "as published, they change nothing"
    for alpha, gain in ((0.5, 0.05), (1.0, 0.2)):
        added = (mixed(alpha=alpha, gain=gain) - plain).std(-1, correction=0)
        share = alpha * torch.sigmoid(torch.tensor(alpha))
        torch.testing.assert_close(added, (share * gain).expand_as(added), rtol=0.02, atol=0)


def test_where_nothing_comes_before_the_stored_frames_stay(data: Path, model: Path) -> None:
    recipe = CAM.model_copy(update={"own": OwnPastConfig(share=1.0), "light_share": 0.0})
    stored = LatentSet(data)
    found = [draw(recipe, stored, step, 8, STAGE.levels, shown=2) for step in range(8)]
    assert {bool(each) for sample in found for each in sample.own > 0} == {False, True}
    held = held_out(recipe, stored, 8, shown=2)
    assert not held.own.any()


def test_a_run_of_a_memory_of_other_sizes_is_not_gone_on_with(
    data: Path, model: Path, tmp_path: Path
) -> None:
    train(CAM, data, model, tmp_path, Told(), max_steps=1)
    other = CAM.model_copy(update={"cam": CAM.cam.model_copy(update={"frames": 1})})
    with pytest.raises(UserError, match=r"another short-term memory \(frames differ\)"):
        train(other, data, model, tmp_path, Told(), max_steps=2)


def test_the_memories_of_a_student_begin_with_it(data: Path, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    shutil.copytree(model, folder)
    (folder / "transformer").rename(folder / "student")
    recipe = CAM.model_copy(update={"network": "student"})
    assert not train(recipe, data, folder, tmp_path / "run", Told(), max_steps=1)
    with pytest.raises(UserError, match=r"transformer are missing"):
        train(CAM, data, folder, tmp_path / "other", Told(), max_steps=1)


def test_what_is_exported_streams_and_the_transformer_is_untouched(
    data: Path, model: Path, tmp_path: Path
) -> None:
    before = (model / "transformer" / "diffusion_pytorch_model.safetensors").read_bytes()
    train(CAM, data, model, tmp_path / "cam", Told())
    assert not train(APM, data, model, tmp_path / "apm", Told(), cam=tmp_path / "cam", max_steps=1)
    assert train(APM, data, model, tmp_path / "apm", Told()), "a run that goes on knows its short-term memory"
    export(tmp_path / "apm", model)
    assert (model / "transformer" / "diffusion_pytorch_model.safetensors").read_bytes() == before
    pipe = Pipeline.from_pretrained(model, torch_dtype=torch.float32)
    settings = Settings(method="streamingt2v")
    chunks = list(pipe.stream("a red sphere rolls", seed=1, num_frames=25, settings=settings))
    assert [chunk.anchors for chunk in chunks] == [(), (0,)]


def test_validation_says_what_each_memory_is_worth(data: Path, model: Path) -> None:
    subject = learner(APM, data, model)
    weights = {n: p.detach() for n, p in subject.networks.named_parameters() if p.requires_grad}
    figures = subject.validate(weights, 4)
    assert figures["new"] == pytest.approx(figures["new_without_memory"], rel=1e-4)
    assert {"shown_again", "new_without_anchor", "sigma_0.3"} <= figures.keys()


def test_a_sheet_of_samples_is_written(data: Path, model: Path, tmp_path: Path) -> None:
    subject = learner(CAM, data, model)
    weights = {n: p.detach() for n, p in subject.networks.named_parameters() if p.requires_grad}
    subject.sample(weights, 4, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 100


def test_long_term_memory_needs_the_short_one(data: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `longtake train cam` first"):
        train(APM, data, model, tmp_path / "apm", Told())


def test_long_term_memory_shows_as_many_frames_again_as_its_short_one_was_made_for(
    data: Path, model: Path, tmp_path: Path
) -> None:
    stages = (STAGE.model_copy(update={"frames": 6}),)
    longer = CAM.model_copy(update={"stages": stages, "cam": CAM.cam.model_copy(update={"frames": 3})})
    train(longer, data, model, tmp_path / "cam", Told(), max_steps=1)
    given = trained(tmp_path / "cam").cam
    recipe = APM.model_copy(update={"stages": stages, "new_weight": 0.0})
    text = TextEncoder.load(model).eval().requires_grad_(False)
    networks = fresh(recipe, WanTransformer.from_pretrained(model / "transformer"), text.max_length, given)
    subject = Memories(recipe, data, networks, text, tiny_patch_codec(), choose_compute("cpu", "float32"))
    third = torch.zeros(6)
    third[2] = 1e3
    seen: list[int] = []

    def wrong_third(
        _: object, x: torch.Tensor, t: object, rows: object, past: torch.Tensor, anchor: object
    ) -> torch.Tensor:
        seen.append(past.shape[2])
        return x + third[:, None, None]

    subject.networks = type("Wrong", (torch.nn.Module,), {"forward": wrong_third})()
    assert subject.loss(stages[0], 0) > 1e5, "the third frame shows the past again, so its error counts"
    assert seen == [3]


def test_long_term_memory_needs_the_length_of_clips_that_its_short_one_was_made_for(
    data: Path, model: Path, tmp_path: Path
) -> None:
    longer = CAM.model_copy(update={"stages": (STAGE.model_copy(update={"frames": 6}),)})
    train(longer, data, model, tmp_path / "cam", Told(), max_steps=1)
    with pytest.raises(UserError, match=r"clips of 6 latent frames.*of 4"):
        train(APM, data, model, tmp_path / "apm", Told(), cam=tmp_path / "cam")


def test_a_recipe_of_long_term_memory_is_free_of_the_other_kinds_sizes() -> None:
    stages = (STAGE.model_copy(update={"frames": 2}),)
    assert MemoryRecipe(kind="apm", stages=stages).clip == 2
    with pytest.raises(ValueError, match="2 frames that are shown again"):
        MemoryRecipe(kind="cam", stages=stages)


def test_clips_that_are_too_short_are_refused(data: Path, model: Path) -> None:
    long = MemoryRecipe(kind="cam", stages=(STAGE.model_copy(update={"frames": 8}),))
    with pytest.raises(UserError, match="8 latent frames are too short"):
        draw(long, LatentSet(data), 0, 2, {1: 1.0}, shown=2)


def test_shipped_recipes_are_valid_and_within_the_steps_that_variants_are_compared_at() -> None:
    for name, kind in (("cam", "cam"), ("cam-guided", "cam"), ("apm", "apm")):
        recipe = load_config(name, MemoryRecipe)
        assert recipe.kind == kind
        assert sum(stage.steps for stage in recipe.stages) <= 1500


def test_the_commands_train_and_export(data: Path, model: Path, tmp_path: Path) -> None:
    import yaml

    recipe, run = tmp_path / "r.yaml", tmp_path / "run"
    recipe.write_text(yaml.safe_dump(CAM.model_dump(mode="json")))
    options = ["--config", str(recipe), "--data", str(data), "--out", str(run), "--model", str(model)]
    result = CliRunner().invoke(app, ["cam", *options, "--fusion", "add", "--threads", "1"])
    assert result.exit_code == 0, result.output
    assert "put it into the model with: longtake train export --network memories" in result.stderr
    again = CliRunner().invoke(app, ["cam", *options])
    assert isinstance(again.exception, UserError)
    wrong = CliRunner().invoke(app, ["apm", *options])
    assert "is a recipe of cam" in str(wrong.exception)
    result = CliRunner().invoke(
        app, ["export", "--network", "memories", "--run", str(run), "--out", str(model)]
    )
    assert result.exit_code == 0, result.output
    assert (model / "cam" / "config.json").is_file()


@pytest.fixture
def distilled(model: Path, tmp_path: Path) -> Path:
    """The model with a student, whose weights are others than those of the network before distillation."""
    folder = tmp_path / "distilled"
    shutil.copytree(model, folder)
    student = WanTransformer.from_pretrained(folder / "transformer")
    with torch.no_grad():
        student.proj_out.weight.mul_(1.5)
    student.save_pretrained(folder / "student")
    return folder


@pytest.fixture
def guide(data: Path, distilled: Path, tmp_path: Path) -> Path:
    """A run of the short-term memory of the network before distillation."""
    out = tmp_path / "guide"
    train(CAM, data, distilled, out, Told())
    return out


class Nothing(torch.nn.Module):
    """Predicts no velocity."""

    def forward(self, x: torch.Tensor, *rest: object) -> torch.Tensor:
        return torch.zeros_like(x)


def test_what_guidance_adds_is_in_the_target(data: Path, distilled: Path, guide: Path) -> None:
    text = TextEncoder.load(distilled).eval()
    before = WanTransformer.from_pretrained(distilled / "transformer")
    led_by = Remembering(before, trained(guide).cam, None)
    recipe = CAM.model_copy(
        update={"network": "student", "guided": GuidedConfig(scale=3.0, until=0.55), "light_share": 0.0}
    )
    nothing = Nothing()
    nothing.shown = 2  # type: ignore[assignment]
    subject = Memories(
        recipe,
        data,
        nothing,  # type: ignore[arg-type]
        text,
        tiny_patch_codec(),
        choose_compute("cpu", "float32"),
        led_by,
    )
    asked: list[tuple[torch.Tensor, ...]] = []
    led_by.register_forward_hook(lambda _, inputs, output: asked.append((*inputs, output)))
    loss = subject.loss(STAGE, 0)
    (x, sigma, prompted, past, none, with_prompt), (_, _, silent, _, _, without) = asked
    sample = draw(recipe, LatentSet(data), 0, STAGE.batch_size, STAGE.levels, shown=2)
    assert none is None
    assert torch.equal(past, sample.past)
    assert torch.equal(prompted, text.encode(sample.texts))
    assert torch.equal(silent, text.encode([""] * STAGE.batch_size))
    level = sigma[:, 0].view(-1, 1, 1, 1, 1) / 1000
    velocity, added = (x - sample.clean) / level, 2 * (level >= 0.55)  # velocity: noise − clean
    assert {*added.flatten().tolist()} == {0, 2}
    torch.testing.assert_close(loss, (velocity + added * (with_prompt - without)).square().mean())


def test_a_guided_run_keeps_its_guide(data: Path, distilled: Path, guide: Path, tmp_path: Path) -> None:
    recipe = APM.model_copy(update={"network": "student", "guided": GuidedConfig()})
    cam, out = guide, tmp_path / "run"
    with pytest.raises(UserError, match="give its folder with --guide"):
        train(recipe, data, distilled, out, Told(), cam=cam)
    with pytest.raises(UserError, match="leave it out"):
        train(APM, data, distilled, out, Told(), cam=cam, guide=guide)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(recipe, data, distilled, whole, Told(), cam=cam, guide=guide)
    assert not train(recipe, data, distilled, parts, Told(), cam=cam, guide=guide, max_steps=1)
    assert train(recipe, data, distilled, parts, Told()), "it knows its guide and its short-term memory"
    one, two = (load_checkpoint(checkpoints(folder)[-1])[1] for folder in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)
