"""What every sampler promises, and what each does with a network whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from longtake.errors import UserError
from longtake.sampling import Sampler
from longtake.sampling.few_step import FewStep
from longtake.sampling.given import NOTHING, Given
from longtake.sampling.noise import CounterNoise, Purpose
from longtake.sampling.ode import FlowODE

SHAPE = (4, 3, 5)
SAMPLERS = {
    "ode": FlowODE(num_inference_steps=5, shift=3.0),
    "ode of order 2": FlowODE(num_inference_steps=5, shift=3.0, order=2),
    "few-step": FewStep(steps=(1000, 750, 500, 250), shift=5.0, warp=True),
    "few-step raw": FewStep(steps=(1000, 757, 522), shift=8.0, warp=False),
}
CLEAN = torch.randn(1, 4, 6, 3, 5, generator=torch.Generator().manual_seed(0))


def perfect(frames: range):  # type: ignore[no-untyped-def]
    """A network that knows the clean latents: v = (x − x0) / σ."""

    def denoise(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return (x - CLEAN[:, :, frames.start : frames.stop]) / (timestep[:, None, :, None, None] / 1000)

    return denoise


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
class TestEverySampler:
    def test_finds_the_clean_latents_of_a_perfect_network(self, sampler: Sampler) -> None:
        frames = range(2, 5)
        out = sampler.advance(perfect(frames), CounterNoise(1), frames, SHAPE)
        # The few-step table is met at its nearest entry, so σ is off by up to 5e-4.
        torch.testing.assert_close(out, CLEAN[:, :, 2:5], atol=5e-3, rtol=0)

    def test_frames_do_not_share_noise_with_their_neighbours(self, sampler: Sampler) -> None:
        """With a network that works frame by frame, a frame comes out the same alone and in company."""

        def denoise(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            return x.tanh() + timestep[:, None, :, None, None] / 1000

        together = sampler.advance(denoise, CounterNoise(1), range(3), SHAPE)
        alone = sampler.advance(denoise, CounterNoise(1), range(1, 2), SHAPE)
        torch.testing.assert_close(together[:, :, 1:2], alone)

    def test_calls_back_after_every_step_and_takes_what_it_returns(self, sampler: Sampler) -> None:
        seen: list[float] = []

        def on_step(step: int, timestep: float, latents: torch.Tensor) -> torch.Tensor:
            assert step == len(seen)
            seen.append(timestep)
            return torch.zeros_like(latents)

        out = sampler.advance(perfect(range(2)), CounterNoise(1), range(2), SHAPE, on_step)
        assert seen[0] == 1000
        assert seen == sorted(seen, reverse=True)
        assert not out.any()

    @pytest.mark.parametrize("known", [1, 2])
    def test_known_frames_stay_as_they_are_at_timestep_0(self, sampler: Sampler, known: int) -> None:
        prefix = torch.randn(1, 4, known, 3, 5, generator=torch.Generator().manual_seed(2))
        fed: list[torch.Tensor] = []

        def denoise(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            assert torch.equal(x[:, :, :known], prefix)
            fed.append(timestep[0])
            return x.tanh() + x.mean()

        given = Given(prefix=prefix)
        out = sampler.advance(denoise, CounterNoise(1), range(3), SHAPE, lambda i, t, x: x + 1, given)
        assert torch.equal(out[:, :, :known], prefix)
        assert out.shape[2] == 3
        assert all((times[:known] == 0).all() and (times[known:] > 0).all() for times in fed)

    def test_a_block_that_is_known_costs_nothing(self, sampler: Sampler) -> None:
        prefix = CLEAN[:, :, :3]
        out = sampler.advance(never, CounterNoise(1), range(3), SHAPE, None, Given(prefix=prefix))
        assert torch.equal(out, prefix)

    def test_a_source_at_strength_1_changes_not_a_bit(self, sampler: Sampler) -> None:
        source = torch.randn(1, 4, 3, 3, 5, generator=torch.Generator().manual_seed(2))
        one, two = (
            sampler.advance(curved, CounterNoise(1), range(3), SHAPE, None, given)
            for given in (Given(), Given(source=source, strength=1.0))
        )
        assert torch.equal(one, two)

    @pytest.mark.parametrize("strength", [0.95, 0.7])
    def test_a_source_is_met_at_its_strength(self, sampler: Sampler, strength: float) -> None:
        """The first step sees `(1−s)·source + s·noise`, at a timestep that is not above s."""
        frames, seen = range(2, 5), []
        source = torch.randn(1, 4, 3, 3, 5, generator=torch.Generator().manual_seed(2))

        def denoise(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            seen.append((x, float(timestep[0, 0])))
            return x.tanh()

        given = Given(source=source, strength=strength)
        sampler.advance(denoise, CounterNoise(1), frames, SHAPE, None, given)
        noise = CounterNoise(1)(Purpose.INITIAL, frames, 0, SHAPE)
        torch.testing.assert_close(seen[0][0], (1 - strength) * source + strength * noise)
        timesteps = [t for _, t in seen]
        assert timesteps == sorted(timesteps, reverse=True)
        assert 0 < timesteps[0] <= 1000 * strength + 1e-6

    def test_less_strength_stays_nearer_to_the_source(self, sampler: Sampler) -> None:
        source = CLEAN[:, :, 2:5]
        distances = []
        for strength in (0.7, 0.85, 1.0):
            given = Given(source=source, strength=strength)
            out = sampler.advance(curved, CounterNoise(1), range(2, 5), SHAPE, None, given)
            distances.append(float((out - source).pow(2).mean()))
        assert distances == sorted(distances)


def never(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    raise AssertionError("the network was asked")


def curved(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """A network that depends on latents and timestep."""
    return x.tanh() * timestep[:, None, :, None, None] / 1000


def test_few_step_is_fed_the_published_timesteps_and_fresh_noise() -> None:
    fed: list[float] = []
    draws: list[tuple[Purpose, int]] = []

    def noise(purpose: Purpose, frames, step: int, shape):  # type: ignore[no-untyped-def]
        draws.append((purpose, step))
        return CounterNoise(1)(purpose, frames, step, shape)

    def denoise(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        fed.append(float(timestep[0, 0]))
        return x

    SAMPLERS["few-step"].advance(denoise, noise, range(2), SHAPE)
    assert fed == pytest.approx([1000, 937.5, 833.3333, 625])
    assert draws == [(Purpose.INITIAL, 0), (Purpose.RENOISE, 1), (Purpose.RENOISE, 2), (Purpose.RENOISE, 3)]


def fed_to(sampler: FewStep, frames: range, given: Given = NOTHING) -> list[float]:
    fed: list[float] = []

    def denoise(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        fed.append(float(timestep[0, 0]))
        return x

    sampler.advance(denoise, CounterNoise(1), frames, SHAPE, None, given)
    return fed


def test_the_first_block_of_a_take_may_have_steps_of_its_own() -> None:
    sampler = FewStep(steps=(1000, 500), shift=5.0, warp=True, first_steps=(1000, 750, 500, 250))
    assert fed_to(sampler, range(2)) == pytest.approx([1000, 937.5, 833.3333, 625])
    assert fed_to(sampler, range(2, 4)) == pytest.approx([1000, 833.3333])


@pytest.mark.parametrize(
    ("strength", "begin", "fed"),
    [
        (1.0, None, [700, 500, 400]),
        (0.6, None, [500, 400]),
        (0.8, 700.0, [700, 500, 400]),
        (0.6, 450.0, [450, 400]),
    ],
)
def test_the_steps_taken_follow_the_strength(strength: float, begin: float | None, fed: list[float]) -> None:
    sampler = FewStep(steps=(700, 500, 400), shift=8.0, warp=False)
    given = Given(source=CLEAN[:, :, :2], strength=strength, begin=begin)
    assert fed_to(sampler, range(2), given) == fed


def test_a_strength_below_the_last_step_is_refused() -> None:
    with pytest.raises(UserError, match=r"strength 0.3.*use 0.625 to 1"):
        fed_to(SAMPLERS["few-step"], range(2), Given(source=CLEAN[:, :, :2], strength=0.3))


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.01, float("nan")])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(UserError, match="strength"):
        Given(strength=strength)


@pytest.mark.parametrize("steps", [(), (500, 750), (1000, -1), (1200,), (500, 500)])
def test_broken_step_lists_are_refused(steps: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="step list"):
        FewStep(steps=steps, shift=5.0, warp=True)


@pytest.mark.parametrize("order", [1, 2])
def test_the_error_of_the_ode_falls_with_the_order_of_its_steps(order: int) -> None:
    """dx/dσ = x·cos(3σ) has the answer x(0) = x(1)·exp(−sin(3)/3)."""

    def denoise(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return x * (3 * timestep[:, None, :, None, None] / 1000).cos()

    begin = CounterNoise(1)(Purpose.INITIAL, range(1), 0, SHAPE)
    exact = begin * math.exp(-math.sin(3) / 3)
    errors = []
    for steps in (16, 32):
        sampler = FlowODE(num_inference_steps=steps, shift=1.0, order=order)
        errors.append((sampler.advance(denoise, CounterNoise(1), range(1), SHAPE) - exact).abs().max().item())
    fall = errors[0] / errors[1]
    assert 0.8 * 2**order < fall < 1.3 * 2**order, f"errors {errors}"


def test_an_unknown_order_of_the_ode_is_refused() -> None:
    with pytest.raises(UserError, match="order 3"):
        FlowODE(num_inference_steps=4, shift=3.0, order=3)


def test_the_first_block_may_have_more_steps_along_the_ode() -> None:
    sampler = FlowODE(num_inference_steps=2, shift=3.0, first_num_inference_steps=5)
    for frames, count in ((range(3), 5), (range(3, 6), 2)):
        levels: list[float] = []

        def denoise(x: torch.Tensor, timestep: torch.Tensor, levels: list[float] = levels) -> torch.Tensor:
            levels.append(float(timestep[0, 0]))
            return 0.1 * x

        got = sampler.advance(denoise, CounterNoise(1), frames, SHAPE)
        plain = FlowODE(num_inference_steps=count, shift=3.0)
        assert len(levels) == count
        assert torch.equal(got, plain.advance(denoise, CounterNoise(1), frames, SHAPE))
