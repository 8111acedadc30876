"""The baselines against what their papers say, written out the slow way."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from longtake.methods import Conditions, Method, Plan
from longtake.methods.build import build
from longtake.methods.windowed import FusedWindows, ShuffledNoise, pyramid, windows
from longtake.models.attention import WholeClip
from longtake.models.codec import Codec
from longtake.models.policy import Policy
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling.given import Given
from longtake.sampling.guidance import guided
from longtake.sampling.noise import CounterNoise, Purpose
from longtake.sampling.ode import FlowODE
from longtake.sampling.schedule import FlowSchedule
from tests.methods.kinds import CLIP, WINDOWS
from tests.tiny import TINY_POLICY, tiny_patch_codec, tiny_transformer

FRAMES = 4
SHAPE = (16, 4, 6)
SAMPLER = FlowODE(num_inference_steps=3, shift=3.0)
NOISE = CounterNoise(5)


@pytest.fixture(scope="module")
def model() -> WanTransformer:
    return tiny_transformer()


@pytest.fixture(scope="module")
def text(model: WanTransformer) -> TextContext:
    return model.text_context(torch.randn(1, 5, 24, generator=torch.Generator().manual_seed(2)))


def method_of(model: WanTransformer, rollout: dict[str, Any] | None, codec: Codec | None = None) -> Method:
    policy = Policy.model_validate(TINY_POLICY | CLIP | {"rollout": rollout, "guidance_scale": 1})
    return build(policy, model, SAMPLER, codec=codec)


def whole(model: WanTransformer, text: TextContext, frames: range, given: Given | None = None) -> Tensor:
    """A clip of these frames in which every frame sees every other."""

    def predict(latents: Tensor, timestep: Tensor, context: TextContext) -> Tensor:
        return model(latents, timestep, context)

    return SAMPLER.advance(guided(predict, text, None, 1.0), NOISE, frames, SHAPE, None, given or Given())


def largest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def rolled(
    method: Method, text: TextContext, turns: int, total: int | None = None
) -> list[tuple[Plan, Tensor]]:
    """Plans and final latents of the first turns; pixels are those of a codec that shows the latents' mean."""
    state, position, made = method.start(SHAPE), 0, []
    for _ in range(turns):
        plan = method.next(position, total)
        with torch.inference_mode():
            latents = method.denoise(plan, NOISE, Conditions(text=text), state)
            state.memory.commit(plan.final, latents, text, None)
        made.append((plan, latents))
        position = plan.final.stop
    return made


def test_a_tail_is_carried_on_as_it_is(model: WanTransformer, text: TextContext) -> None:
    made = rolled(method_of(model, {"kind": "tail", "frames": 2}), text, 3)
    assert [(plan.denoise, plan.final) for plan, _ in made] == [
        (range(4), range(4)),
        (range(2, 6), range(4, 6)),
        (range(4, 8), range(6, 8)),
    ]
    first = whole(model, text, range(4))
    second = whole(model, text, range(2, 6), Given(prefix=first[:, :, 2:]))
    third = whole(model, text, range(4, 8), Given(prefix=second[:, :, 2:]))
    for (_, latents), expected in zip(made, (first, second[:, :, 2:], third[:, :, 2:]), strict=True):
        assert largest(latents, expected) < 1e-5


def test_the_last_frame_is_encoded_anew_and_shown_once(model: WanTransformer) -> None:
    method = method_of(model, {"kind": "last-frame"}, tiny_patch_codec())
    first, second = method.next(0, None), method.next(4, None)
    assert (first.final, first.fresh, first.shown) == (range(4), False, None)
    assert (second.final, second.fresh, second.shown) == (range(4, 8), True, (1, 13))
    state = method.start(SHAPE)
    assert state.memory.needs_pixels


def test_windows_cover_every_frame_and_the_last_ends_with_them() -> None:
    assert windows(3, 4, 2) == [range(3)]
    assert windows(8, 4, 2) == [range(4), range(2, 6), range(4, 8)]
    assert windows(9, 4, 2) == [range(4), range(2, 6), range(4, 8), range(5, 9)]
    assert pyramid(4).tolist() == [1, 2, 2, 1]
    assert pyramid(5).tolist() == [1, 2, 3, 2, 1]


@pytest.mark.parametrize("fuse", ["prediction", "attention"])
def test_one_window_is_a_plain_clip(fuse: str, model: WanTransformer, text: TextContext) -> None:
    [(plan, latents)] = rolled(method_of(model, WINDOWS | {"fuse": fuse}), text, 1, total=4)
    assert plan.final == range(4)
    assert largest(latents, whole(model, text, range(4))) < 1e-5


def test_overlapping_predictions_are_averaged_at_every_step(model: WanTransformer, text: TextContext) -> None:
    [(_, latents)] = rolled(method_of(model, WINDOWS | {"fuse": "prediction"}), text, 1, total=6)
    x = NOISE(Purpose.INITIAL, range(6), 0, SHAPE)
    sigmas = FlowSchedule(3.0).uniform(3)
    for sigma, following in pairwise(sigmas):
        level = torch.full((1, 4), 1000 * sigma)
        left, right = model(x[:, :, :4], level, text), model(x[:, :, 2:], level, text)
        mean = torch.cat([left[:, :, :2], (left[:, :, 2:] + right[:, :, :2]) / 2, right[:, :, 2:]], 2)
        x = x + (following - sigma) * mean
    assert largest(latents, x) < 1e-5


def test_fused_attention_is_the_weighted_mean_of_the_windows(model: WanTransformer) -> None:
    grid = model.config.grid(4, 6)
    q, k, v = torch.randn(3, 1, 6 * grid.tokens, 4, 24, generator=torch.Generator().manual_seed(4)).unbind(0)
    fused = FusedWindows(grid=grid, windows=(range(4), range(2, 6)))(0, q, k, v).unflatten(1, (6, -1))
    clip = WholeClip(grid=grid, positions=tuple(range(4)))
    left, right = (
        clip(0, *(x.unflatten(1, (6, -1))[:, part].flatten(1, 2) for x in (q, k, v))).unflatten(1, (4, -1))
        for part in (slice(0, 4), slice(2, 6))
    )
    assert largest(fused[:, :2], left[:, :2]) < 1e-5
    assert largest(fused[:, 2], (2 * left[:, 2] + 1 * right[:, 0]) / 3) < 1e-5
    assert largest(fused[:, 3], (1 * left[:, 3] + 2 * right[:, 1]) / 3) < 1e-5


def test_later_noise_repeats_the_first_clips_in_shuffled_runs() -> None:
    noise = ShuffledNoise(noise=NOISE, length=4, stride=2)
    origins = [noise.origin(frame) for frame in range(12)]
    assert origins[:4] == [0, 1, 2, 3]
    for start in range(4, 12, 2):
        assert sorted(origins[start : start + 2]) == sorted(origins[start - 4 : start - 2])
    drawn = noise(Purpose.INITIAL, range(12), 0, SHAPE)
    assert torch.equal(drawn[:, :, 5], NOISE(Purpose.INITIAL, [origins[5]], 0, SHAPE)[:, :, 0])
    fresh = noise(Purpose.RENOISE, [7], 1, SHAPE)
    assert torch.equal(fresh, NOISE(Purpose.RENOISE, [7], 1, SHAPE))


def test_fifo_takes_every_frame_down_the_whole_schedule(model: WanTransformer, text: TextContext) -> None:
    """Follow one frame that entered as pure noise through all of its steps, in a queue of one clip."""
    made = rolled(method_of(model, {"kind": "fifo"}), text, 6)
    assert [plan.final for plan, _ in made] == [range(i, i + 1) for i in range(6)]
    rising = list(reversed(FlowSchedule(3.0).uniform(FRAMES)))
    clean = whole(model, text, range(FRAMES))
    queue = [
        (1 - rising[i + 1]) * clean[:, :, i]
        + rising[i + 1] * NOISE(Purpose.RENOISE, range(FRAMES), 0, SHAPE)[:, :, i]
        for i in range(FRAMES)
    ]
    for turn in range(6):
        if turn:
            queue = [*queue[1:], NOISE(Purpose.INITIAL, [turn + FRAMES - 1], 0, SHAPE)[:, :, 0]]
        level = torch.tensor([rising[1:]]) * 1000
        velocity = model(torch.stack(queue, 2), level.float(), text)
        queue = [x + (rising[i] - rising[i + 1]) * velocity[:, :, i] for i, x in enumerate(queue)]
        assert largest(made[turn][1][:, :, 0], queue[0]) < 1e-4
        if turn == 0:
            assert largest(made[0][1][:, :, 0], clean[:, :, 0]) > 1e-3, "the first step did nothing"


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"rollout": {"kind": "tail", "frames": 4}}, "use fewer"),
        ({"rollout": {"kind": "overlap", "frames": 2}}, "causal"),
        ({"rollout": WINDOWS | {"fuse": "attention", "stride": 5}}, "gaps"),
        (
            {
                "rollout": {"kind": "fifo"},
                "sampler": {"kind": "few-step", "steps": [1000], "shift": 3, "warp": True},
            },
            "ode",
        ),
    ],
)
def test_rollouts_that_do_not_fit_are_refused(policy: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Policy.model_validate(TINY_POLICY | CLIP | policy)
