"""Guidance distillation: its target by hand, whom it trains, and how what it makes is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import longtake
from longtake.train.counters import numbers
from longtake.train.distil.clips import Clips, silent
from longtake.train.distil.flow import block_index
from longtake.train.distil.guidance import Guidance
from longtake.train.distil.stage import Roles, velocity_after
from longtake.train.distil.start import run_stage
from longtake.train.mini import mix
from tests.train.distil.toys import COMPUTE, backbone, config, constant, model_folder
from tests.train.sets import write_set

CONFIG = config()
SPEC = CONFIG.guidance


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


def made(data: Path, roles: Roles) -> Guidance:
    assert SPEC is not None
    return Guidance(SPEC, CONFIG, Clips(CONFIG, data), roles, COMPUTE)


def test_a_teacher_that_reads_nothing_has_nothing_to_guide(data: Path) -> None:
    stage = made(data, Roles(student=constant(0.3), teacher=constant(0.5)))
    assert float(stage.loss(stage.stages[0], 0)) == pytest.approx(0.04, rel=1e-5)


def test_target_by_hand(data: Path) -> None:
    assert SPEC is not None
    student, teacher = backbone(1), backbone(2, trained=False)
    stage = made(data, Roles(student=student, teacher=teacher))
    step, block = 9, CONFIG.student.block
    clean, captions = stage.clips.draw(stage.stages[0], step, "guidance")
    rng = numbers(CONFIG.seed, "guidance levels", step)
    index = block_index(rng, SPEC.grid, len(clean), clean.shape[2], block)
    sigma = torch.from_numpy(stage.grid[index]).float()
    assert (sigma < SPEC.until).any()
    assert (sigma >= SPEC.until).any()
    noisy = mix(clean, stage.noise(clean.shape, "guidance noise", step), sigma)

    def says(model: object, conditions: object) -> Tensor:
        return velocity_after(model, clean, noisy, 1000 * sigma, conditions, block)  # type: ignore[arg-type]

    with torch.no_grad():
        c, u = (says(teacher, teacher.conditions(given)) for given in (captions, silent(captions)))
        assert not torch.allclose(c, u)
        above = (sigma >= SPEC.until)[:, None, :, None, None]
        target = torch.where(above, u + SPEC.guidance_scale * (c - u), c)
        error = (says(student, student.conditions(captions)) - target).square().mean()
    loss = stage.loss(stage.stages[0], step)
    torch.testing.assert_close(loss.detach(), error, rtol=1e-5, atol=1e-7)
    loss.backward()
    assert all(p.grad is not None for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())


def test_what_it_makes_is_run_without_guidance(data: Path, tmp_path: Path) -> None:
    model = model_folder(tmp_path / "model")
    run = tmp_path / "run"
    assert run_stage("guidance", CONFIG, data, run, teacher=model, student=model)
    policy = longtake.load(run / "model").preset.policy
    assert SPEC is not None
    assert policy.sampler == SPEC.sampler
    assert policy.guidance_scale == 1.0
