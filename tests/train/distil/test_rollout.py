"""Rolling the student out: the engine's own blocks, and a gradient that ends at the block."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from longtake.methods import Conditions
from longtake.methods.build import causal
from longtake.models.attention import Grid, KeyValue
from longtake.models.wan import WanTransformer
from longtake.sampling.noise import CounterNoise, Purpose
from longtake.sampling.schedule import FlowSchedule
from longtake.train.distil.backbone import Backbone
from longtake.train.distil.flow import few_step
from longtake.train.distil.rollout import Beside, Rollout
from tests.train.distil.toys import COMPUTE, SHAPE, backbone, config, constant

CONFIG = config()
NOISE = CounterNoise(5)


def rollout(transformer: WanTransformer, *, noisy: bool = False) -> Rollout:
    return Rollout(
        transformer=transformer,
        policy=CONFIG.student,
        latent_shape=SHAPE,
        noisy_context=noisy,
        compute=COMPUTE,
    )


def roll(
    student: Backbone,
    frames: int,
    *,
    skipped: int = 0,
    trained: bool = True,
    past: Backbone | None = None,
    noisy: bool = False,
) -> list[Tensor]:
    """Blocks of a rollout; `past` is the network that fills the memory, by default the student itself."""
    own, other = (
        rollout(student.transformer, noisy=noisy),
        rollout((past or student).transformer, noisy=noisy),
    )
    memory, rows = other.start(), student.read(["a red sphere"])
    texts, blocks = (own.read(rows), other.read(rows)), []
    for first in range(0, frames, 2):
        block = range(first, first + 2)
        made = own.block(memory, block, rows, texts[0], NOISE, skipped=skipped, trained=trained)
        other.remember(memory, block, made, texts[1], NOISE)
        blocks.append(made)
    return blocks


def test_a_rollout_to_the_last_step_is_the_engines_own() -> None:
    """Past the window too: ten frames in a window of six with a sink."""
    student = backbone(1)
    method = causal(CONFIG.student, student.transformer, few_step(CONFIG.sampler))
    state, made = method.start(SHAPE), []
    with torch.no_grad():
        text = student.transformer.text_context(student.read(["a red sphere"]))
        for first in range(0, 10, 2):
            plan = method.next(first, None)
            made.append(method.denoise(plan, NOISE, Conditions(text=text), state))
            state.memory.commit(plan.final, made[-1], text, None)
    for trained in (False, True):
        ours = roll(student, 10, trained=trained)
        difference = max(float((a.detach() - b).abs().max()) for a, b in zip(ours, made, strict=True))
        assert difference < 1e-5, f"differs by {difference} with trained={trained}"


def test_the_gradient_is_that_of_the_exit_step_alone() -> None:
    """A network of constant velocity b: x̂ = x_t − σ·b at the exit step, of which x_t counts as given.

    Through both steps the derivative would be −(1−σ₁)·σ₀ − σ₁; only the last term may remain.
    """
    student = constant(0.3, trained=True)
    schedule = FlowSchedule(3.0)
    for skipped, sigma in ((1, schedule.sigma(1000.0)), (0, schedule.sigma(750.0))):
        student.zero_grad()
        (block,) = roll(student, 2, skipped=skipped)
        block.sum().backward()
        gradient = student.transformer.proj_out.bias.grad
        assert gradient is not None
        assert float(gradient.sum()) == pytest.approx(-sigma * block.numel(), rel=1e-5)


def test_values_of_a_rollout_by_hand() -> None:
    student = constant(0.3)
    noise = [
        NOISE(purpose, range(2), step, SHAPE)
        for purpose, step in ((Purpose.INITIAL, 0), (Purpose.RENOISE, 1))
    ]
    first = noise[0] - 1.0 * 0.3
    second = 0.25 * first + 0.75 * noise[1] - 0.75 * 0.3
    assert torch.allclose(roll(student, 2, skipped=1, trained=False)[0], first, atol=1e-6)
    assert torch.allclose(roll(student, 2, skipped=0, trained=False)[0], second, atol=1e-6)


def gradients(student: Backbone) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in student.named_parameters()
    }


def test_no_gradient_flows_through_the_cache() -> None:
    """The gradient of the last block is the same when another network of equal weights has filled the memory."""
    student = backbone(1)
    roll(student, 6)[-1].square().sum().backward()
    own = gradients(student)
    student.zero_grad()
    stranger = copy.deepcopy(student)
    roll(student, 6, past=stranger)[-1].square().sum().backward()
    foreign = gradients(student)
    assert all(torch.equal(own[name], foreign[name]) for name in own)
    assert any(value.any() for value in own.values())
    assert all(p.grad is None for p in stranger.parameters())


def test_each_block_has_a_gradient_of_its_own() -> None:
    """Blocks are independent given the past: the gradient of a sum is the sum of the gradients."""
    student, parts = backbone(1), []
    for block in range(3):
        student.zero_grad()
        roll(student, 6)[block].square().sum().backward()
        parts.append(gradients(student)["transformer.blocks.0.attn1.to_k.weight"])
        assert parts[-1].any()
    student.zero_grad()
    torch.cat(roll(student, 6), 2).square().sum().backward()
    whole = gradients(student)["transformer.blocks.0.attn1.to_k.weight"]
    assert torch.allclose(whole, sum(parts), rtol=1e-3, atol=1e-4)  # type: ignore[arg-type]


def test_what_a_block_has_seen_stays_as_it_was() -> None:
    """Checkpointed blocks look at it again in the backward pass, when the memory holds later frames."""
    student = backbone(1, trained=False)
    own, rows = rollout(student.transformer), student.read(["a red sphere"])
    memory, text = own.start(), own.read(rows)
    for first in range(0, 8, 2):
        block = range(first, first + 2)
        context = memory.read(block, text).kv
        assert context is not None
        beside = Beside.of(context)
        before = [kv.k.clone() for kv in beside.past]
        made = own.block(memory, block, rows, text, NOISE, skipped=1, trained=False)
        own.remember(memory, block, made, text, NOISE)
        memory.read(range(first + 2, first + 4), text)
        assert all(torch.equal(kv.k, k) for kv, k in zip(beside.past, before, strict=True)), block


def test_a_cache_with_a_gradient_is_refused() -> None:
    past = KeyValue(torch.zeros(1, 4, 2, 12, requires_grad=True), torch.zeros(1, 4, 2, 12))
    with pytest.raises(AssertionError, match="gradient in the cache"):
        Beside(grid=Grid(2, 2), positions=(1,), past=(past,))


def test_context_noise_is_of_the_clean_steps_sigma() -> None:
    """σ(0) of shift 3 is 3·0.001/(1 + 2·0.001); inference adds none."""
    student = backbone(1, trained=False)
    plain, noisy = (roll(student, 4, trained=False, noisy=flag) for flag in (False, True))
    assert torch.equal(plain[0], noisy[0]), "the first block has no past"
    difference = float((plain[1] - noisy[1]).abs().max())
    assert 0 < difference < 0.1
    assert FlowSchedule(3.0).sigma(0.0) == pytest.approx(0.003 / 1.002)
