"""ODE pairs and their regression; consistency's grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.methods import Conditions, Method
from longtake.sampling.noise import CounterNoise, Purpose
from longtake.train.counters import numbers
from longtake.train.crops import Captions
from longtake.train.device import Compute
from longtake.train.distil.backbone import Backbone
from longtake.train.distil.clips import Clips, silent
from longtake.train.distil.config import DistilConfig, distil_config
from longtake.train.distil.consistency import Consistency
from longtake.train.distil.flow import StepLevels, block_index, clean_of, gather_states
from longtake.train.distil.ode import OdeRegression, regression_error
from longtake.train.distil.ode_pairs import kept_states, make_pairs, pair_method, trajectory
from longtake.train.distil.pairs import Pairs
from longtake.train.distil.specs import OdePairsSpec
from longtake.train.distil.stage import Roles, causal_velocity, velocity_after
from longtake.train.log import RunLog
from longtake.train.mini import mix
from tests.train.distil.toys import COMPUTE, POLICY, SHAPE, Away, backbone, config, constant
from tests.train.sets import record, write_set, write_shard

CONFIG = config()
LEVELS = StepLevels.of(CONFIG.sampler)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def pairs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs")
    assert make(data, out)
    return out


def make(
    data: Path,
    out: Path,
    changes: dict[str, object] | None = None,
    stop: int = 10**9,
    *,
    chain: DistilConfig = CONFIG,
    teacher: int = 2,
    compute: Compute = COMPUTE,
) -> bool:
    spec = chain.ode_pairs
    assert spec is not None
    asked = iter(range(10**9))
    return make_pairs(
        chain,
        spec.model_copy(update=changes or {}),
        Clips(chain, data),
        backbone(teacher, trained=False),
        out,
        compute,
        progress=lambda done, total: None,
        stop=lambda: next(asked) >= stop,
    )


def test_regression_counts_frames_that_are_not_clean() -> None:
    predicted, end = torch.zeros(1, 1, 4, 1, 1), torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 4, 1, 1)
    # frames 0 and 2 count: (1 + 9) / 2
    assert float(regression_error(predicted, end, torch.tensor([[500.0, 0.0, 1000.0, 0.0]]))) == 5.0
    assert float(regression_error(predicted, end, torch.zeros(1, 4))) == 0.0


def test_kept_states_are_the_published_indices() -> None:
    causvid, forcing = distil_config("wan-1.3b-causvid"), distil_config("wan-1.3b-self-forcing")
    assert causvid.ode_pairs is not None
    assert forcing.ode_pairs is not None
    assert kept_states(StepLevels.of(causvid.sampler), causvid.ode_pairs) == [0, 36, 44, 50]
    assert kept_states(StepLevels.of(forcing.sampler), forcing.ode_pairs) == [0, 12, 24, 36, 48]


def test_a_teachers_grid_that_misses_the_students_steps_is_refused() -> None:
    spec = CONFIG.ode_pairs
    assert spec is not None
    with pytest.raises(UserError, match=r"3 steps with shift 3 come no nearer.*timestep 750"):
        kept_states(LEVELS, spec.model_copy(update={"num_inference_steps": 3}))


def one_trajectory(teacher: str, velocity: float | None = None) -> Tensor:
    spec = OdePairsSpec.model_validate(
        {
            "teacher": teacher,
            "pairs": 1,
            "frames": 4,
            "num_inference_steps": 4,
            "shift": 3,
            "guidance_scale": 2,
        }
    )
    model = backbone(2, trained=False) if velocity is None else constant(velocity)
    text, null = (model.transformer.text_context(model.read([p])) for p in ("a red sphere", ""))
    method = pair_method(CONFIG, spec, model)
    kept = kept_states(LEVELS, spec)
    return trajectory(method, Conditions(text=text, null_text=null), 7, 4, SHAPE, kept)


@pytest.mark.parametrize("teacher", ["bidirectional", "causal"])
def test_a_trajectory_goes_from_noise_by_euler_steps(teacher: str) -> None:
    """Velocity 0.3 everywhere: at σ the state is noise − (1 − σ)·0.3, at the end noise − 0.3."""
    states = one_trajectory(teacher, velocity=0.3)
    noise = CounterNoise(7)(Purpose.INITIAL, range(4), 0, SHAPE)[0]
    for state, sigma in zip(states, (1.0, 0.75, 0.0), strict=True):
        assert torch.allclose(state, noise - (1 - sigma) * 0.3, atol=1e-5)


def test_a_causal_teacher_goes_block_after_block() -> None:
    whole, blocks = one_trajectory("bidirectional"), one_trajectory("causal")
    assert torch.equal(whole[0], blocks[0]), "both begin with the same noise"
    assert not torch.allclose(whole[-1][:, :2], blocks[-1][:, :2]), "the first block must not see the second"


def test_pairs_are_kept_with_captions_and_drawn(pairs: Path) -> None:
    stored = Pairs(pairs, LEVELS)
    assert len(stored) == 4
    assert stored.latent_shape == SHAPE
    assert stored.has_validation
    states, captions = stored.validation(8)
    assert states.shape == (1, 3, SHAPE[0], 4, *SHAPE[1:])
    assert captions[0] in ("a red sphere rolls", "red sphere")


def test_making_pairs_goes_on_where_it_stopped_and_gives_the_same(
    data: Path, pairs: Path, tmp_path: Path
) -> None:
    assert not make(data, tmp_path, stop=4)
    assert [p.stem for p in tmp_path.glob("pairs-*.json")] == ["pairs-000000"]
    (tmp_path / "pairs-000001.part").write_bytes(b"half a shard")
    written = (tmp_path / "pairs-000000.safetensors").stat().st_mtime_ns
    assert make(data, tmp_path)
    assert (tmp_path / "pairs-000000.safetensors").stat().st_mtime_ns == written
    for path in pairs.glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
    with pytest.raises(UserError, match=r"other settings \(spec\.guidance_scale 2\.0 there, 5\.0 given\)"):
        make(data, tmp_path, {"guidance_scale": 5.0})


def test_pairs_of_another_teacher_seed_policy_or_set_are_not_mixed_in(
    data: Path, pairs: Path, tmp_path: Path
) -> None:
    kept = (pairs / "pairs.json").read_text()
    longer = POLICY | {"window": {"kind": "rolling", "frames": 8, "sink": 1}}
    other = tmp_path / "other"
    write_shard(other, "shard-000000", [record(i) for i in range(4)])
    with pytest.raises(UserError, match=r"\(teacher \w+ there, \w+ given\)"):
        make(data, pairs, teacher=3)
    with pytest.raises(UserError, match=r"\(seed 0 there, 1 given\)"):
        make(data, pairs, chain=config(seed=1))
    with pytest.raises(UserError, match=r"\(policy\.window\.frames 6 there, 8 given\)"):
        make(data, pairs, chain=config(policy=longer))
    with pytest.raises(UserError, match=r"\(clips \w+ there, \w+ given\)"):
        make(other, pairs)
    assert (pairs / "pairs.json").read_text() == kept
    assert make(data, pairs), "with the same it goes on"


def test_shards_that_came_later_change_no_pair(tmp_path: Path) -> None:
    folder, out = write_set(tmp_path / "set"), tmp_path / "pairs"
    assert not make(folder, out, stop=2)
    write_shard(folder, "shard-000002", [record(i) for i in range(4)])
    assert make(folder, out)
    assert json.loads((out / "pairs.json").read_text())["shards"] == ["shard-000000", "shard-000001"]


def test_seconds_of_making_pairs_add_up_over_legs(data: Path, tmp_path: Path) -> None:
    assert not make(data, tmp_path, stop=2)
    (tmp_path / "log.jsonl").write_text('{"kind": "pairs", "step": 1, "of": 3, "seconds": 100.0}\n')
    assert make(data, tmp_path)
    lines = RunLog(tmp_path).records()
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(line["seconds"] >= 100 for line in lines)


@pytest.mark.parametrize("teacher", ["bidirectional", "causal"])
def test_pairs_are_made_in_the_precision_of_the_recipe(data: Path, tmp_path: Path, teacher: str) -> None:
    made = {}
    for name, compute in (("whole", COMPUTE), ("half", replace(COMPUTE, bfloat16=True))):
        changes = {"teacher": teacher, "pairs": 1, "validation_pairs": 0}
        assert make(data, tmp_path / name, changes, compute=compute)
        made[name] = Pairs(tmp_path / name, LEVELS).draw(numbers(0, "test"), 1)[0]
    assert torch.equal(made["whole"][:, 0], made["half"][:, 0]), "noise is noise"
    assert not torch.equal(made["whole"], made["half"])
    assert torch.allclose(made["whole"], made["half"], atol=0.2)


def test_states_of_a_network_on_a_gpu_come_to_the_cpu() -> None:
    class Far:
        def __init__(self, method: Method) -> None:
            self.start, self.next, self.method = method.start, method.next, method

        def denoise(self, *given: object) -> Tensor:
            *rest, note = given
            away = lambda step, time, x: note(step, time, x.as_subclass(Away))  # type: ignore[operator] # noqa: E731
            return self.method.denoise(*rest, away)  # type: ignore[arg-type]

    spec = CONFIG.ode_pairs
    assert spec is not None
    model = backbone(2, trained=False)
    text = model.transformer.text_context(model.read(["a red sphere"]))
    far, kept = Far(pair_method(CONFIG, spec, model)), kept_states(LEVELS, spec)
    states = trajectory(far, Conditions(text=text, null_text=text), 7, 4, SHAPE, kept)  # type: ignore[arg-type]
    assert type(states) is Tensor


def test_pairs_of_another_step_list_are_refused(pairs: Path) -> None:
    other = StepLevels(timesteps=(1000.0, 600.0, 0.0), sigmas=(1.0, 0.6, 0.0))
    with pytest.raises(UserError, match=r"timesteps \[1000.0, 750.0, 0.0\], the student has \[1000.0, 600"):
        Pairs(pairs, other)


@pytest.mark.parametrize("context", ["noisy", "clean"])
def test_regression_of_a_known_velocity_by_hand(pairs: Path, context: str) -> None:
    """Student velocity 0.3: a clean prediction is the state minus σ·0.3, whatever the context."""
    spec = CONFIG.ode
    assert spec is not None
    recipe = OdeRegression(
        spec.model_copy(update={"context": context}), CONFIG, pairs, Roles(student=constant(0.3)), COMPUTE
    )
    states, captions = recipe.pairs.draw(numbers(0, "test"), 1)
    index = torch.tensor([[0, 0, 1, 1]]).numpy()
    expected = [
        (states[0, k, :, f] - sigma * 0.3 - states[0, 2, :, f]).square().mean()
        for f, (k, sigma) in enumerate([(0, 1.0), (0, 1.0), (1, 0.75), (1, 0.75)])
    ]
    error = recipe._error(states, captions, index)
    assert float(error) == pytest.approx(float(sum(expected)) / 4, rel=1e-4)


def test_a_clean_context_hides_the_noisy_past(pairs: Path) -> None:
    """With context `clean` the noisy state of the first block does not reach the second."""
    spec = CONFIG.ode
    assert spec is not None
    changed = {}
    for context in ("noisy", "clean"):
        recipe = OdeRegression(
            spec.model_copy(update={"context": context}), CONFIG, pairs, Roles(student=backbone(1)), COMPUTE
        )
        states, captions = recipe.pairs.validation(1)
        other = states.clone()
        other[:, 0, :, :2] += 1.0  # the noisiest state of the first block
        index = torch.tensor([[0, 0, 1, 1]]).numpy()
        errors = [_second_block(recipe, s, captions, index) for s in (states, other)]
        changed[context] = not torch.equal(*errors)
    assert changed == {"noisy": True, "clean": False}


def _second_block(recipe: OdeRegression, states: Tensor, captions: list[str], index) -> Tensor:  # type: ignore[no-untyped-def]
    noisy, (timestep, _) = gather_states(states, torch.from_numpy(index)), LEVELS.at(index, states.device)
    texts = Captions(texts=tuple((text,) for text in captions), segment=0 * index)
    conditions = recipe.student.conditions(texts)
    if recipe.context == "clean":
        out = velocity_after(recipe.student, states[:, -1], noisy, timestep, conditions, recipe.block)
    else:
        out = causal_velocity(recipe.student, noisy, timestep, conditions, recipe.block)
    return out[:, :, 2:].detach()


def test_a_student_that_is_a_straight_teacher_is_consistent(data: Path) -> None:
    """Velocity 0.3 of both: a step from σ to σ' and the jump from there end where the jump from σ ends."""
    spec = CONFIG.consistency
    assert spec is not None
    clips = Clips(CONFIG, data)
    same = Consistency(spec, CONFIG, clips, Roles(student=constant(0.3), teacher=constant(0.3)), COMPUTE)
    assert float(same.loss(same.stages[0], 0)) == pytest.approx(0.0, abs=1e-10)
    other = Consistency(spec, CONFIG, clips, Roles(student=constant(0.3), teacher=constant(0.5)), COMPUTE)
    # f(x_t', t') − f(x_t, t) = (σ' − σ)·0.5 − σ'·0.3 + σ·0.3 = (σ' − σ)·0.2, block by block
    steps = -other.grid[1:] + other.grid[:-1]
    loss = float(other.loss(other.stages[0], 0))
    assert (0.2 * steps.min()) ** 2 * 0.99 <= loss <= (0.2 * steps.max()) ** 2 * 1.01


def test_consistency_by_hand(data: Path) -> None:
    spec, step, block = CONFIG.consistency, 1, CONFIG.student.block
    assert spec is not None
    student, teacher = backbone(1), backbone(2, trained=False)
    stage = Consistency(spec, CONFIG, Clips(CONFIG, data), Roles(student=student, teacher=teacher), COMPUTE)
    clean, captions = stage.clips.draw(stage.stages[0], step, "consistency")
    rng = numbers(CONFIG.seed, "consistency levels", step)
    index = block_index(rng, spec.grid, len(clean), clean.shape[2], block)
    high, low = (torch.from_numpy(stage.grid[at]).float() for at in (index, index + 1))
    above = (high >= spec.until)[:, None, :, None, None]
    assert above.any()
    assert not above.all(), "some blocks are below the level where guidance ends"
    noisy = mix(clean, stage.noise(clean.shape, "consistency noise", step), high)

    def says(model: Backbone, x: Tensor, sigma: Tensor, given: Captions) -> Tensor:
        return velocity_after(model, clean, x, 1000 * sigma, model.conditions(given), block)

    def ends(x: Tensor, sigma: Tensor) -> Tensor:
        return clean_of(x, says(student, x, sigma, captions), sigma)

    with torch.no_grad():
        c, u = (says(teacher, noisy, high, given) for given in (captions, silent(captions)))
        slope = torch.where(above, u + spec.guidance_scale * (c - u), c)
        after = noisy + (low - high)[:, None, :, None, None] * slope
        error = (ends(noisy, high) - ends(after, low)).square().mean()
    loss = stage.loss(stage.stages[0], step)
    torch.testing.assert_close(loss.detach(), error, rtol=1e-4, atol=1e-7)
    loss.backward()
    assert all(p.grad is not None for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())
