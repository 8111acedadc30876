"""Two optimisers in one run: the update ratio, exact resume, and what stops a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.patch_codec import PatchCodec
from longtake.train.checkpoint import checkpoints, load_checkpoint
from longtake.train.device import Compute
from longtake.train.distil.clips import Clips
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.dmd import Dmd, Matching
from longtake.train.distil.long_tuning import LongTuning
from longtake.train.distil.lora import Unadapted, adapt
from longtake.train.distil.self_forcing import SelfForcing
from longtake.train.distil.specs import LoraSpec
from longtake.train.distil.stage import Roles
from longtake.train.loop import Cadence, Run
from longtake.train.optimise import Optimiser, WeightAverage
from longtake.train.recipe import Adversarial
from longtake.train.store import VALIDATION, LatentSet
from tests.tiny import tiny_patch_codec
from tests.train.distil.toys import COMPUTE, FAST, Away, backbone, config, roles
from tests.train.sets import record, write_set, write_shard

CONFIG = config()
RECIPES: dict[str, Any] = {"dmd": Dmd, "self_forcing": SelfForcing, "long_tuning": LongTuning}


class Silent:
    def record(self, record: Mapping[str, object]) -> None:
        pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


def low_rank() -> Roles:
    """A student with a LoRA, and a critic that is a LoRA beside the teacher's weights."""
    student, shared = backbone(1), backbone(2, trained=False)
    for each in (student, shared):
        adapt(each.transformer, LoraSpec(rank=2, alpha=2), 0)
    return Roles(student=student, teacher=Unadapted(shared.transformer, shared.prompts), critic=shared)


def recipe(
    name: str,
    data: Path,
    who: Roles | None = None,
    chain: DistilConfig = CONFIG,
    compute: Compute = COMPUTE,
) -> Matching:
    made: Matching = RECIPES[name](getattr(chain, name), chain, Clips(chain, data), who or roles(), compute)
    return made


def run(name: str, data: Path, folder: Path, who: Roles | None = None) -> Run:
    cadence = Cadence(checkpoint_minutes=60, sample_minutes=60, log_steps=1, validate_steps=100)
    made = recipe(name, data, who)
    return Run(made, folder, made.config.dmd.optimiser, cadence, Silent())  # type: ignore[union-attr]


def stored(folder: Path) -> dict[str, Tensor]:
    return load_checkpoint(checkpoints(folder)[-1])[1]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_critic_learns_every_step_and_the_student_every_second(
    name: str, data: Path, tmp_path: Path
) -> None:
    made = run(name, data, tmp_path)
    assert isinstance(made.recipe, Adversarial)
    watched = "transformer.proj_out.weight"
    moved = []
    for step in range(4):
        before = made.named[watched].detach().clone(), made.rival_named[watched].detach().clone()
        assert not made.train(max_steps=1)
        moved.append(
            (
                not torch.equal(before[0], made.named[watched]),
                not torch.equal(before[1], made.rival_named[watched]),
            )
        )
        assert made.position.step == step + 1
    assert moved == [(True, True), (False, True), (True, True), (False, True)]
    figures = [record for record in made.log.records() if record["kind"] == "train"]
    assert all("critic_loss" in record for record in figures)


def test_the_average_follows_the_students_updates_alone(data: Path, tmp_path: Path) -> None:
    made = run("dmd", data, tmp_path)
    made.train(max_steps=1)
    first = {name: value.clone() for name, value in made.average.values.items()}
    assert all(torch.equal(first[name], made.named[name]) for name in first), (
        "after one update it is the weights"
    )
    made.train(max_steps=1)
    assert all(torch.equal(first[name], value) for name, value in made.average.values.items())
    made.train(max_steps=1)
    assert any(not torch.equal(first[name], value) for name, value in made.average.values.items())


@pytest.mark.parametrize(("name", "lora"), [("dmd", False), ("self_forcing", True), ("long_tuning", False)])
def test_a_run_in_three_legs_equals_an_unbroken_one(
    name: str, lora: bool, data: Path, tmp_path: Path
) -> None:
    """Weights, averages and moments of student and critic, and the live rollout, bit for bit."""
    who = low_rank if lora else roles
    assert run(name, data, tmp_path / "whole", who()).train()
    for steps in (1, 2, 3):
        leg = run(name, data, tmp_path / "legs", who())
        leg.resume()
        leg.train(max_steps=steps)
    whole, legs = stored(tmp_path / "whole"), stored(tmp_path / "legs")
    assert whole.keys() == legs.keys()
    different = [key for key in whole if not torch.equal(whole[key], legs[key])]
    assert not different, f"{len(different)} of {len(whole)} differ, as {different[:3]}"
    groups = {key.split("/")[0] for key in whole}
    assert groups >= {"weights", "average", "optimiser", "critic_weights", "critic_optimiser"}
    assert ("state" in groups) is (name == "long_tuning")
    assert all(("lora_" in key) is lora for key in whole if key.startswith(("weights/", "critic_weights/")))


def test_a_resumed_critic_that_was_forgotten_is_noticed(data: Path, tmp_path: Path) -> None:
    """The check above can fail: a critic that begins anew gives other weights."""
    run("dmd", data, tmp_path).train(max_steps=3)
    whole, leg = run("dmd", data, tmp_path / "other"), run("dmd", data, tmp_path)
    whole.train(max_steps=6)
    fresh = {name: value.detach().clone() for name, value in leg.rival_named.items()}
    leg.resume()
    with torch.no_grad():
        for name, value in leg.rival_named.items():
            value.copy_(fresh[name])
    leg.train()
    assert any(not torch.equal(whole.named[name].detach(), leg.named[name].detach()) for name in whole.named)


def test_a_loss_that_is_not_a_number_names_step_batch_and_checkpoint(data: Path, tmp_path: Path) -> None:
    made = run("dmd", data, tmp_path)
    made.train(max_steps=3)
    with torch.no_grad():
        made.rival_named["transformer.proj_out.bias"].fill_(float("nan"))
    with pytest.raises(
        UserError,
        match=r"loss is nan at step 3 of stage dmd; batch: the 1 clips of 4 latent frames that seed and step 3 draw "
        r"of 2 shards from shard-000000 to shard-000001; last good checkpoint: .*checkpoint-00000003",
    ):
        made.train(max_steps=1)
    assert all(torch.isfinite(value).all() for value in stored(tmp_path).values())


def test_a_gradient_that_is_not_finite_changes_no_weight(data: Path, tmp_path: Path) -> None:
    made = run("dmd", data, tmp_path)
    made.train(max_steps=2)
    before = {name: value.detach().clone() for name, value in made.named.items()}
    handle = next(iter(made.named.values())).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(
        UserError, match=r"norm of the gradient is (nan|inf) at step 2 of stage dmd.*checkpoint"
    ):
        made.train(max_steps=1)
    handle.remove()
    assert all(torch.equal(before[name], value) for name, value in made.named.items())


def test_a_critic_beside_the_teachers_weights_leaves_the_teacher_as_it_was(
    data: Path, tmp_path: Path
) -> None:
    who = low_rank()
    made = recipe("dmd", data, who)
    assert who.teacher is not None
    assert who.critic is not None
    clean, captions = made.clips.draw(made.stages[0], 0, "student")
    conditions = made.student.conditions(captions)
    timestep = torch.full((1, 4), 500.0)

    def ask(which: str) -> Tensor:
        net = getattr(who, which)
        with torch.no_grad():
            return made.scores._velocity(net, clean, timestep, conditions)

    before = ask("teacher")
    assert torch.equal(before, ask("critic")), "at first there is no change"
    with torch.no_grad():
        for name, value in who.critic.named_parameters():
            if "lora_B" in name:
                value.add_(0.1)
    assert torch.equal(before, ask("teacher"))
    assert not torch.equal(before, ask("critic"))
    assert all(value.requires_grad is ("lora_" in name) for name, value in who.critic.named_parameters())


def test_backward_simulation_takes_the_students_own_states(data: Path) -> None:
    spec = CONFIG.dmd
    assert spec is not None
    simulated = Dmd(
        spec.model_copy(update={"backward_simulation": True}), CONFIG, Clips(CONFIG, data), roles(), COMPUTE
    )
    made = simulated.generate(simulated.stages[0], 0, trained=True)
    assert made.latents.requires_grad
    shape, captions = made.latents.shape, made.captions
    states = simulated._simulate(shape, simulated.student.conditions(captions), "student", 0)
    assert states.shape == (1, 3, *shape[1:])
    assert not states.requires_grad
    assert torch.equal(states[:, 0], simulated.noise(shape, "student simulation", 0, 0))


def test_sample_sheets_are_decoded_where_the_codec_is(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = tiny_patch_codec()
    chain = config(prompts=("a red sphere rolls",))
    made = recipe("dmd", data, replace(roles(), codec=codec), chain)
    plain, stream, seen = type(codec).decode, made.stream, []

    def decode(self: PatchCodec, latents: Tensor, state: object) -> Tensor:
        seen.append(type(latents))
        return plain(self, latents.as_subclass(Tensor), state)  # type: ignore[arg-type]

    monkeypatch.setattr(type(codec), "decode", decode)
    monkeypatch.setattr(made, "stream", lambda *given: stream(*given).as_subclass(Away))
    made.sample({}, 4, tmp_path / "sheet.png")
    assert seen == [Tensor]
    assert (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(("stored", "asked"), [("adamw", "muon"), ("muon", "adamw")])
def test_moments_of_another_optimiser_are_refused(stored: str, asked: str) -> None:
    def made(hidden: str) -> Optimiser:
        named = dict(backbone(1).named_parameters())
        return Optimiser(named, FAST.model_copy(update={"hidden": hidden}))

    old = made(stored)
    old.step(1.0)
    made(stored).load(old.state())
    with pytest.raises(
        UserError,
        match=rf"transformer\.blocks.* with {stored}, the recipe asks for {asked}; .*hidden: {stored}",
    ):
        made(asked).load(old.state())


def test_validation_shows_no_jump_in_time(data: Path, tmp_path: Path) -> None:
    records = [record(i, jump=i % 2 == 0, event=2 * (i % 2)) for i in range(6)]
    folder = write_set(tmp_path)
    write_shard(folder, VALIDATION, records, seed=99)
    held = Clips(CONFIG, folder).held_out(4, 8)
    assert held is not None
    assert len(held.latents) == 3
    stored = LatentSet(folder, [VALIDATION]).take([(0, place) for place in (1, 3, 5)])
    assert torch.equal(held.latents, stored.latents[:, :, :4])
    write_shard(folder, VALIDATION, [record(i, jump=True) for i in range(4)])
    with pytest.raises(UserError, match=r"has set aside \(validation\) jump in time"):
        Clips(CONFIG, folder)


def test_an_average_of_fixed_decay_begins_at_its_update() -> None:
    """Self-Forcing's: until the second update the weights themselves, then 0.75 of what was and 0.25 of what is."""
    average = WeightAverage({"x": torch.tensor([8.0])}, 16.97, decay=0.75, first=2)
    seen = []
    for update, weight in enumerate((4.0, 12.0, 20.0, 0.0), start=1):
        average.update({"x": torch.tensor([weight])}, update)
        seen.append(float(average.values["x"]))
    assert seen == [4.0, 12.0, 0.75 * 12 + 0.25 * 20, 0.75 * 14]
