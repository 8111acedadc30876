"""Steps and levels against diffusers' schedulers and published numbers."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from longtake.enhance.levels import CLEAN, Level, scaled_linear_alphas, table_levels
from longtake.enhance.refiner_levels import log_snr, refiner_levels
from longtake.enhance.solver import Ddim, DpmSde
from longtake.errors import UserError
from tests.enhance.toy import video

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_ddim_step_is_diffusers_own(eta: float) -> None:
    scheduler = DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    scheduler.set_timesteps(10)
    levels = table_levels(scaled_linear_alphas(), 0.6, 6)
    assert [round(level.timestep) for level in levels[:-1]] == scheduler.timesteps.tolist()[4:]
    x, predicted, noise = (video(3, seed) for seed in range(3))
    for step in range(5):
        at = levels[step]
        x0 = (x - at.sigma * predicted) / at.alpha
        ours = Ddim(eta=eta).step(x, x0, None, levels, step, noise if eta else None)
        theirs = scheduler.step(
            predicted, round(at.timestep), x, eta=eta, variance_noise=noise if eta else None
        )
        torch.testing.assert_close(ours, theirs.prev_sample, atol=2e-5, rtol=0)
        x = ours


def test_steps_of_the_sde_solver_are_diffusers_own() -> None:
    scheduler = DPMSolverMultistepScheduler(
        **BETAS, algorithm_type="sde-dpmsolver++", solver_order=2, solver_type="midpoint", final_sigmas_type="zero",
        timestep_spacing="trailing",
    )  # fmt: skip
    scheduler.set_timesteps(8)
    sigmas = scheduler.sigmas.double()
    alphas = 1 / (1 + sigmas**2).sqrt()
    levels = [
        Level(float(time), float(alpha), float(alpha * sigma))
        for time, alpha, sigma in zip(scheduler.timesteps, alphas, sigmas, strict=False)
    ] + [CLEAN]
    ours = theirs = video(3)
    before = None
    for step in range(8):
        predicted, noise = video(3, 10 + step), video(3, 50 + step)
        x0 = (ours - levels[step].sigma * predicted) / levels[step].alpha
        ours, before = DpmSde().step(ours, x0, before, levels, step, noise), x0
        theirs = scheduler.step(
            predicted, scheduler.timesteps[step], theirs, variance_noise=noise
        ).prev_sample
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_refiners_schedule_has_its_published_values() -> None:
    sigmas = [
        torch.sigmoid(torch.tensor(-log_snr(t), dtype=torch.float64)).sqrt().item()
        for t in (0, 299, 599, 999)
    ]
    assert sigmas == pytest.approx([0.001106, 0.781177, 0.972363, 1.0], abs=1e-6)


def test_the_refiners_levels_are_the_published_ones() -> None:
    levels = refiner_levels(0.6, 30)
    assert len(levels) == 31
    assert levels[0].timestep == 599
    assert levels[0].sigma / levels[0].alpha == pytest.approx(4.1648, abs=1e-4)
    assert [level.timestep for level in levels[-3:]] == [
        57.0,
        38.0,
        0.0,
    ]  # 57.06 and 37.71; then 18.35 is left out
    assert all(level.alpha**2 + level.sigma**2 == pytest.approx(1) for level in levels)
    with pytest.raises(UserError, match="leaves 20 timesteps for 30 steps"):
        refiner_levels(0.02, 30)
