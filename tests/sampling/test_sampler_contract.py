"""What every sampler promises, and what each does with a network whose answer is known."""

from __future__ import annotations

import pytest
import torch

from longtake.errors import UserError
from longtake.sampling import Sampler
from longtake.sampling.few_step import FewStep
from longtake.sampling.noise import CounterNoise, Purpose
from longtake.sampling.ode import FlowODE

SHAPE = (4, 3, 5)
SAMPLERS = {
    "ode": FlowODE(num_inference_steps=5, shift=3.0),
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


@pytest.mark.parametrize("steps", [(), (500, 750), (1000, -1), (1200,), (500, 500)])
def test_broken_step_lists_are_refused(steps: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="step list"):
        FewStep(steps=steps, shift=5.0, warp=True)
