"""DDIM against diffusers' scheduler, and what every sampler promises, on a variance-preserving schedule."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from longtake.errors import UserError
from longtake.sampling.ddim import Ddim, DiffusionSchedule
from longtake.sampling.given import Given
from longtake.sampling.noise import CounterNoise, Purpose

SHAPE = (4, 3, 5)
FRAMES = range(2, 5)
CLEAN = torch.randn(1, 4, 3, 3, 5, generator=torch.Generator().manual_seed(0))
ALPHAS = DiffusionSchedule().alphas


def published(prediction: str) -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type={"epsilon": "epsilon", "v": "v_prediction"}[prediction],
    )


def curved(x: Tensor, timestep: Tensor) -> Tensor:
    return x.tanh() * (0.5 + timestep[:, None, :, None, None] / 1000)


@pytest.mark.parametrize("steps", [3, 4, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_every_step_is_that_of_diffusers(steps: int, eta: float, prediction: str) -> None:
    scheduler, noise = published(prediction), CounterNoise(1)
    scheduler.set_timesteps(steps)
    x = noise(Purpose.INITIAL, FRAMES, 0, SHAPE)
    for step, timestep in enumerate(scheduler.timesteps):
        predicted = curved(x, timestep.expand(1, 3))
        fresh = noise(Purpose.VARIANCE, FRAMES, step, SHAPE)
        x = scheduler.step(predicted, timestep, x, eta=eta, variance_noise=fresh).prev_sample
    ours = Ddim(num_inference_steps=steps, eta=eta, prediction=prediction).advance(
        curved, noise, FRAMES, SHAPE
    )
    torch.testing.assert_close(ours, x, atol=2e-5, rtol=1e-5)


def test_timesteps_and_table_are_the_published_ones() -> None:
    assert DiffusionSchedule().timesteps(50) == list(range(981, 0, -20))
    torch.testing.assert_close(ALPHAS.float(), published("epsilon").alphas_cumprod, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 3, 7, 30, 333, 499, 500])
def test_any_number_of_steps_begins_near_pure_noise_and_falls_to_1(steps: int) -> None:
    timesteps = DiffusionSchedule().timesteps(steps)
    assert len(timesteps) == steps
    assert timesteps == sorted(set(timesteps), reverse=True)
    assert timesteps[-1] == 1
    assert timesteps[0] >= 1000 - 1000 / steps
    assert timesteps[0] < 1000


def test_the_last_step_of_eta_1_still_adds_a_little_noise() -> None:
    sampler = Ddim(num_inference_steps=50, eta=1.0)
    zero = torch.zeros(1, 4, 3, 3, 5)
    assert float(sampler.step(zero, zero, 1, None, zero + 1).mean()) == pytest.approx(0.0206, abs=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_a_perfect_network_leads_to_its_clean_latents(prediction: str) -> None:
    def perfect(x: Tensor, timestep: Tensor) -> Tensor:
        alpha = ALPHAS[int(timestep[0, 0])]
        error = (x - alpha.sqrt() * CLEAN) / (1 - alpha).sqrt()
        return error if prediction == "epsilon" else alpha.sqrt() * error - (1 - alpha).sqrt() * CLEAN

    out = Ddim(num_inference_steps=10, prediction=prediction).advance(perfect, CounterNoise(1), FRAMES, SHAPE)
    torch.testing.assert_close(out, CLEAN * ALPHAS[0].sqrt(), atol=0.12, rtol=0)  # what the last ᾱ leaves


def test_frames_do_not_share_noise_with_their_neighbours() -> None:
    sampler = Ddim(num_inference_steps=4, eta=1.0)
    together = sampler.advance(curved, CounterNoise(1), range(3), SHAPE)
    alone = sampler.advance(curved, CounterNoise(1), range(1, 2), SHAPE)
    torch.testing.assert_close(together[:, :, 1:2], alone)


def test_calls_back_after_every_step_and_takes_what_it_returns() -> None:
    seen: list[tuple[int, float]] = []

    def on_step(step: int, timestep: float, latents: Tensor) -> Tensor:
        seen.append((step, timestep))
        return torch.zeros_like(latents)

    out = Ddim(num_inference_steps=4).advance(curved, CounterNoise(1), FRAMES, SHAPE, on_step)
    assert seen == [(0, 751), (1, 501), (2, 251), (3, 1)]
    assert not out.any()


def test_only_eta_above_0_draws_noise_in_a_step() -> None:
    def draws(eta: float) -> list[tuple[Purpose, int]]:
        made: list[tuple[Purpose, int]] = []

        def noise(purpose: Purpose, frames: Sequence[int], step: int, shape: tuple[int, int, int]) -> Tensor:
            made.append((purpose, step))
            return CounterNoise(1)(purpose, frames, step, shape)

        Ddim(num_inference_steps=2, eta=eta).advance(curved, noise, FRAMES, SHAPE)
        return made

    assert draws(0.0) == [(Purpose.INITIAL, 0)]
    assert draws(0.3) == [(Purpose.INITIAL, 0), (Purpose.VARIANCE, 0), (Purpose.VARIANCE, 1)]


@pytest.mark.parametrize("strength", [0.95, 0.3])
def test_a_source_is_met_at_its_strength(strength: float) -> None:
    seen: list[tuple[Tensor, int]] = []

    def denoise(x: Tensor, timestep: Tensor) -> Tensor:
        seen.append((x, int(timestep[0, 0])))
        return curved(x, timestep)

    Ddim(num_inference_steps=20).advance(
        denoise, CounterNoise(1), FRAMES, SHAPE, None, Given(source=CLEAN, strength=strength)
    )
    first, timestep = seen[0]
    alpha = float(ALPHAS[timestep])
    noise = CounterNoise(1)(Purpose.INITIAL, FRAMES, 0, SHAPE)
    torch.testing.assert_close(first, alpha**0.5 * CLEAN + (1 - alpha) ** 0.5 * noise)
    assert 1000 * strength - 50 < timestep <= 1000 * strength


def test_a_source_at_strength_1_changes_not_a_bit() -> None:
    sampler = Ddim(num_inference_steps=3, eta=1.0)
    one, two = (
        sampler.advance(curved, CounterNoise(1), FRAMES, SHAPE, None, given)
        for given in (Given(), Given(source=CLEAN, strength=1.0))
    )
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"num_inference_steps": 0}, "use 1 to 500"), ({"num_inference_steps": 501}, "use 1 to 500")]
    + [({"num_inference_steps": 5, "eta": eta}, "eta") for eta in (-0.1, 1.5, float("nan"))],
)
def test_what_cannot_be_sampled_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Ddim(**wrong)
