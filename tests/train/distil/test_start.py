"""Stages as a user runs them: from folders to folders, and what is refused."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

import longtake
from longtake.errors import UserError
from longtake.models.lora import read_lora
from longtake.models.policy import OdeSpec
from longtake.models.wan import WanTransformer
from longtake.train.app import app
from longtake.train.checkpoint import checkpoints, load_checkpoint, select
from longtake.train.distil import start
from longtake.train.distil.config import DistilConfig, distil_config, distil_names
from longtake.train.distil.export import export_student
from longtake.train.distil.mixing import mix_in, other_end
from longtake.train.distil.record import StageRecord, keep_record, kept_record
from longtake.train.distil.specs import Interpolation
from longtake.train.distil.stage import Distil
from longtake.train.distil.stages import stage_info
from longtake.train.distil.start import run_stage
from tests.train.distil.toys import COMPUTE, WAN, config, model_folder
from tests.train.sets import write_set

runner = CliRunner()
CONFIG = config(prompts=("a red sphere rolls",), validate_steps=6)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A latent set and a pretrained model beside each other."""
    folder = tmp_path_factory.mktemp("base")
    write_set(folder / "set")
    model_folder(folder / "model")
    return folder


@pytest.fixture(scope="module")
def student(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "dmd"
    assert run_stage(
        "dmd", CONFIG, base / "set", out, teacher=base / "model", student=base / "model", device="cpu"
    )
    return out


def test_a_stage_makes_a_model_that_generates(student: Path) -> None:
    pipeline = longtake.load(student / "model")
    assert pipeline.preset.policy == CONFIG.student
    one, other = (
        pipeline("a red sphere", num_frames=9, generator=torch.Generator().manual_seed(3)).frames
        for _ in range(2)
    )
    assert one.shape == (1, 9, 32, 32, 3)
    assert np.array_equal(one, other)
    assert list(student.glob("samples-*.png"))
    card = (student / "model" / "README.md").read_text()
    assert "longtake train stage dmd" in card
    assert "6 steps" in card


def test_the_model_has_the_averaged_weights(student: Path) -> None:
    average = select(load_checkpoint(checkpoints(student)[-1])[1], "average")
    stored = WanTransformer.from_pretrained(student / "model" / "transformer").state_dict()
    for name, value in average.items():
        assert torch.equal(stored[name.removeprefix("transformer.")], value.half().float()), name


def weights_of(model: Path) -> dict[str, Tensor]:
    return WanTransformer.from_pretrained(model / "transformer").state_dict()


def exported_with(run: Path, out: Path, between: Interpolation | None) -> Path:
    """The model of a finished run that went far, with another mixture."""
    shutil.copytree(run, out / "run")
    [*_, last] = checkpoints(out / "run")
    with safe_open(last, "pt") as file:
        facts, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    noise = torch.Generator().manual_seed(0)
    for name in sorted(tensors):
        if name.startswith("average/"):
            tensors[name] += torch.randn(tensors[name].shape, generator=noise)
    save_file(tensors, last, facts)
    record = kept_record(run)
    stage = stage_info(record.stage).field
    spec = getattr(record.config, stage).model_copy(update={"interpolate": between})
    config = record.config.model_copy(update={stage: spec})
    keep_record(record.model_copy(update={"config": config}), out / "run")
    export_student(out / "run", out / "model")
    return out / "model"


def check_between(mixed: Path, one: Path, other: Path, share: float) -> None:
    """The weights of `mixed` lie `share` of the way from one model to the other, which lie far apart."""
    between, begin, end = weights_of(mixed), weights_of(one), weights_of(other)
    for name, value in between.items():
        assert (end[name] - begin[name]).abs().max() > 0.3, name
        assert torch.allclose(value, torch.lerp(begin[name], end[name], share), atol=5e-3), name


def test_the_result_lies_between_beginning_and_end_where_a_stage_says_so(
    base: Path, student: Path, tmp_path: Path
) -> None:
    mixed = exported_with(student, tmp_path / "a", Interpolation(share=0.25))
    check_between(mixed, base / "model", exported_with(student, tmp_path / "b", None), 0.25)


def test_the_other_end_may_be_a_model_of_the_same_shape(student: Path, tmp_path: Path) -> None:
    other = model_folder(tmp_path / "other", seed=5)
    mixed = exported_with(student, tmp_path / "a", Interpolation(share=0.5, other=str(other)))
    check_between(mixed, other, exported_with(student, tmp_path / "b", None), 0.5)
    with pytest.raises(UserError, match="neither a stage, nor a preset, nor a folder"):
        other_end(kept_record(student), "nothing")
    larger = model_folder(tmp_path / "larger", wan=replace(WAN, num_layers=WAN.num_layers + 1))
    with pytest.raises(UserError, match="names or shapes; use one that began as the same network"):
        mix_in(WanTransformer.from_pretrained(student / "model" / "transformer"), str(larger), 0.5)


def test_the_other_end_may_be_the_beginning_of_a_stage_before(
    base: Path, student: Path, tmp_path: Path
) -> None:
    assert CONFIG.self_forcing is not None
    between = {"interpolate": {"share": 0.5, "other": "dmd"}}
    chain = config(self_forcing=CONFIG.self_forcing.model_dump() | between)
    record = StageRecord(stage="self-forcing", student=str(student), teacher=None, config=chain)
    assert other_end(record, "dmd") == str(base / "model")
    assert other_end(record, "self_forcing") == other_end(record, None) == str(student)
    match = "no run of a stage; give --student the run folder of stage dmd, or --set self_forcing.interpolate"
    models = {"teacher": base / "model", "student": base / "model"}
    with pytest.raises(UserError, match=match):
        run_stage("self-forcing", chain, base / "set", tmp_path / "b", **models)  # type: ignore[arg-type]
    assert not (tmp_path / "b").exists()


def test_the_next_stage_takes_the_run_folder_of_the_last(base: Path, student: Path, tmp_path: Path) -> None:
    """A LoRA this time: merged into the model, and beside it by itself."""
    spec = CONFIG.self_forcing
    assert spec is not None
    changes = spec.model_dump() | {
        "steps": 2,
        "lora": {"rank": 2, "alpha": 2},
        "critic_lora": {"rank": 2, "alpha": 2},
    }
    chain = config(self_forcing=changes)
    out = tmp_path / "sf"
    assert run_stage("self-forcing", chain, base / "set", out, teacher=base / "model", student=student)
    before, after = (WanTransformer.from_pretrained(run / "model" / "transformer") for run in (student, out))
    lora = read_lora(out / "model" / "lora.safetensors")
    assert len(lora.layers) == 2 * 10, "eight projections and two feed-forward layers a block"
    lora.merge_into(before)
    for name, value in before.state_dict().items():
        assert torch.allclose(value, after.state_dict()[name], atol=2e-3), name
    half = exported_with(out, tmp_path / "half", Interpolation(share=0.5))
    kept = read_lora(half / "lora.safetensors").layers
    for name, change in read_lora(
        exported_with(out, tmp_path / "all", None) / "lora.safetensors"
    ).layers.items():
        assert change.delta(1).abs().max() > 0.3, name
        assert torch.allclose(kept[name].delta(1), 0.5 * change.delta(1)), name
    layer = next(iter(kept))
    begun, mixed = (weights_of(model)[f"{layer}.weight"] for model in (student / "model", half))
    assert torch.allclose(mixed, begun + kept[layer].delta(1), atol=5e-3)


def test_causal_adaptation_makes_a_many_step_model_with_guidance(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "causal"
    assert run_stage("causal", CONFIG, base / "set", out, student=base / "model", device="cpu")
    policy = longtake.load(out / "model").preset.policy
    assert isinstance(policy.sampler, OdeSpec)
    assert policy.guidance_scale == 3.0
    trained = select(load_checkpoint(checkpoints(out)[-1])[1], "weights")
    assert all(name.startswith("transformer.") for name in trained), "the text encoder is not trained"


def test_resume_needs_no_models_named_again(base: Path, tmp_path: Path) -> None:
    given = {"teacher": base / "model", "student": base / "model"}
    with pytest.raises(UserError, match="no run of `longtake train stage`"):
        run_stage("dmd", CONFIG, base / "set", tmp_path / "a", resume=True)
    assert not run_stage("dmd", CONFIG, base / "set", tmp_path / "a", max_minutes=0, **given)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="add --resume"):
        run_stage("dmd", CONFIG, base / "set", tmp_path / "a", **given)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="holds a run of stage dmd, not consistency"):
        run_stage("consistency", CONFIG, base / "set", tmp_path / "a", resume=True)
    assert not run_stage("dmd", CONFIG, base / "set", tmp_path / "a", resume=True, max_minutes=0)


def refused(base: Path, tmp_path: Path, match: str, stage: str = "dmd", **models: Path | None) -> None:
    with pytest.raises(UserError, match=match):
        run_stage(stage, CONFIG, base / "set", tmp_path / "out", **models)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_models_that_do_not_fit_together_are_refused(base: Path, tmp_path: Path) -> None:
    plain = base / "model"
    other = model_folder(tmp_path / "channels", wan=replace(WAN, in_channels=8, out_channels=8))
    refused(base, tmp_path, "in_channels is 8 and 4", teacher=other, student=plain)
    words = model_folder(tmp_path / "words", text_seed=1)
    refused(base, tmp_path, "text encoders differ", teacher=words, student=plain)
    refused(base, tmp_path, "latents of 4 channels", stage="causal", student=other)


def test_a_missing_model_or_stage_is_named(base: Path, tmp_path: Path) -> None:
    plain = base / "model"
    refused(base, tmp_path, "needs a teacher; give --teacher", student=plain)
    refused(base, tmp_path, "needs a student; give --student", stage="causal")
    refused(base, tmp_path, r"stage nothing is not known; use one of causal, guidance", stage="nothing")
    chain = CONFIG.model_copy(update={"dmd": None})
    with pytest.raises(UserError, match="no stage dmd; it has causal"):
        run_stage("dmd", chain, base / "set", tmp_path / "out")


def test_the_command_runs_a_stage(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    path = tmp_path / "chain.yaml"
    path.write_text(CONFIG.model_dump_json(exclude_none=True))
    given = ["--config", str(path), "--data", str(base / "set"), "--teacher", str(base / "model")]
    result = runner.invoke(app, ["stage", "ode-pairs", *given, "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "done" in result.output
    assert len(list(out.glob("pairs-*.json"))) == 2


def test_the_hint_to_go_on_says_all_that_was_given(base: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "a chain.yaml", tmp_path / "run"
    path.write_text(CONFIG.model_dump_json(exclude_none=True))
    given = ["stage", "dmd", "--config", str(path), "--data", str(base / "set"), "--out", str(out)]
    given += ["--teacher", str(base / "model"), "--student", str(base / "model"), "--device", "cpu"]
    given += ["--max-minutes", "0", "--set", "dmd.steps=4", "--set", "dmd.scores.symmetric=true"]
    said = runner.invoke(app, given)
    assert said.exit_code == 0, said.output
    hint = said.output.replace("\n", "").partition("go on with: ")[2]
    assert shlex.split(hint) == ["longtake", "train", *given, "--resume"]


def test_big_networks_keep_the_inputs_of_their_blocks_alone(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of student, teacher and critic, in one process too; and the weights move as they would have."""
    record = StageRecord(stage="dmd", student=str(base / "model"), teacher=str(base / "model"), config=CONFIG)
    gradients = []
    for big in (False, True):
        monkeypatch.setattr(start, "is_big", lambda _, big=big: big)
        made, _ = start.stage_recipe(record, base / "set", COMPUTE)
        assert isinstance(made, Distil)
        held = [made.roles.student, made.roles.teacher, made.roles.critic]
        for each in held:
            assert each is not None
            assert all(("forward" in vars(block)) is big for block in each.transformer.blocks)
        made.loss(made.stages[0], 0).backward()
        gradients.append([p.grad for p in made.student.parameters() if p.grad is not None])
    assert gradients[0]
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_rollouts_need_prompts_alone(base: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red sphere rolls\n\na blue cube stays\n")
    given = {"teacher": base / "model", "student": base / "model"}
    spec = CONFIG.self_forcing
    assert spec is not None
    chain = config(self_forcing=spec.model_dump() | {"steps": 2})
    assert run_stage("self-forcing", chain, prompts, tmp_path / "sf", **given)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="stage dmd needs clips"):
        run_stage("dmd", CONFIG, prompts, tmp_path / "dmd", **given)  # type: ignore[arg-type]
    prompts.write_text("\n")
    with pytest.raises(UserError, match="holds no prompt"):
        run_stage("self-forcing", chain, prompts, tmp_path / "none", **given)  # type: ignore[arg-type]


def test_fields_of_a_config_are_changed_by_name() -> None:
    changed = distil_config("mini", ["dmd.scores.symmetric=true", "policy.sampler.steps=[1000]"])
    assert changed.dmd is not None
    assert changed.dmd.scores.symmetric
    assert changed.sampler.steps == (1000,)
    plain = distil_config("mini")
    assert changed.self_forcing == plain.self_forcing
    for wrong, match in (
        ("dmd.step=3", "dmd.step is not a known field"),
        ("dmd.steps=0", "greater than 0"),
        ("dmd.steps", "write field=value"),
        ("log_steps.x=1", "log_steps has no fields"),
    ):
        with pytest.raises(UserError, match=match):
            distil_config("mini", [wrong])


def test_shipped_distillations_are_valid() -> None:
    assert {"mini", "smoke"} <= set(distil_names())
    for name in distil_names():
        assert distil_config(name).sampler.steps
    with pytest.raises(UserError, match=r"distillation nothing is neither a file nor one of: mini"):
        distil_config("nothing")


def test_mini_trains_a_student_long_enough_to_say_something() -> None:
    chain = distil_config("mini")
    for spec in (chain.dmd, chain.self_forcing, chain.long_tuning):
        assert spec is not None
        assert spec.steps / spec.ratio >= 300, "updates of the student"


def test_published_numbers() -> None:
    causvid, forcing = (
        distil_config("wan-1.3b-causvid").dmd,
        distil_config("wan-1.3b-self-forcing").self_forcing,
    )
    live = distil_config("wan-1.3b-longlive").long_tuning
    assert causvid is not None
    assert forcing is not None
    assert live is not None
    assert (causvid.optimiser.adamw_lr, causvid.critic.adamw_lr) == (2e-6, 2e-6)
    assert (causvid.scores.guidance, causvid.scores.shift, causvid.ratio) == (3.5, 8, 5)
    assert (causvid.optimiser.betas, causvid.optimiser.clip) == ((0.9, 0.999), 10)
    assert (forcing.optimiser.adamw_lr, forcing.critic.adamw_lr) == (2e-6, 4e-7)
    assert (forcing.optimiser.betas, forcing.optimiser.ema_decay, forcing.optimiser.ema_first) == (
        (0, 0.999),
        0.99,
        200,
    )
    assert (forcing.scores.lowest, forcing.scores.highest, forcing.global_batch) == (20, 980, 64)
    assert (live.length, live.frames, live.advance) == (240, 21, 18)
    assert live.lora is not None
    assert (live.lora.rank, live.lora.alpha) == (256, 256)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"policy": "nothing"}, "no preset; known are"),
        ({"policy": "mini"}, "few-step sampler"),
        ({"dmd": {"frames": 8}}, "longer than the window of 6"),
        ({"self_forcing": {"frames": 5}}, "not in whole blocks of 2"),
        ({"long_tuning": {"advance": 3}}, "whole blocks of 2"),
        ({"long_tuning": {"batch_size": 2}}, "one live rollout"),
        (
            {"dmd": {"lora": {"rank": 2, "alpha": 2}, "interpolate": {"share": 0.5, "other": "dmd"}}},
            "other needs all weights",
        ),
    ],
)
def test_configs_that_cannot_be_run_are_refused(changes: dict[str, object], match: str) -> None:
    values = config().model_dump(exclude_none=True)
    for name, change in changes.items():
        values[name] = values[name] | change if isinstance(change, dict) else change
    with pytest.raises(ValueError, match=match):
        DistilConfig.model_validate(values)
