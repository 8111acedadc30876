"""Distribution matching: every number of its losses, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from longtake.models.attention import WholeClip
from longtake.sampling.schedule import FlowSchedule
from longtake.train.crops import Captions
from longtake.train.distil.clips import silent
from longtake.train.distil.flow import clean_of, score_timesteps
from longtake.train.distil.scores import Scores, critic_error, dmd_gradient, dmd_loss, guide
from longtake.train.distil.specs import ScoreSpec
from tests.train.distil.toys import COMPUTE, SHAPE, backbone, constant


def latents(*rows: list[float]) -> Tensor:
    """One sample a row, its numbers as channels of a single cell of a single frame."""
    return torch.tensor(rows)[:, :, None, None, None]


def test_the_papers_guidance_weight_is_one_less_than_the_standard_scale() -> None:
    c, u = latents([2.0, -1.0]), latents([1.0, 1.0])
    # c + 3.5·(c − u): 2 + 3.5·1 = 5.5 and −1 + 3.5·(−2) = −8
    assert guide(c, u, 3.5).flatten().tolist() == [5.5, -8.0]
    assert torch.equal(guide(c, u, 3.5), u + 4.5 * (c - u))
    assert not torch.equal(guide(c, u, 3.5), u + 3.5 * (c - u)), "the standard form with the papers' number"


def test_gradient_and_its_normaliser_sample_by_sample() -> None:
    x, fake, real = (
        latents([1.0, 2.0], [10.0, 0.0]),
        latents([3.0, 1.0], [4.0, 4.0]),
        latents([0.0, 5.0], [2.0, -8.0]),
    )
    # sample 1: mean|x − r| = (1 + 3)/2 = 2; (f − r)/2 = (3, −4)/2
    # sample 2: mean|x − r| = (8 + 8)/2 = 8; (f − r)/8 = (2, 12)/8
    assert dmd_gradient(x, fake, real).flatten().tolist() == [1.5, -2.0, 0.25, 1.5]


def test_an_undefined_gradient_is_zero_and_an_infinite_one_is_not_hidden() -> None:
    x = latents([1.0, 1.0])
    assert dmd_gradient(x, x, x).flatten().tolist() == [0.0, 0.0]
    assert torch.isinf(dmd_gradient(x, x + 1, x)).all()


def test_the_students_loss_has_the_gradient_as_its_derivative() -> None:
    x = latents([1.0, 2.0], [10.0, 0.0]).requires_grad_()
    gradient = latents([1.5, -2.0], [0.25, 1.5])
    loss = dmd_loss(x, gradient, torch.ones(2, 1, dtype=torch.bool))
    # ½·mean(g²) = ½·(2.25 + 4 + 0.0625 + 2.25)/4
    assert float(loss.detach()) == 0.5 * 8.5625 / 4
    assert loss.dtype is torch.float64
    loss.backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, gradient / 4)


def test_frames_that_do_not_count_have_no_gradient_and_no_weight() -> None:
    x = torch.zeros(1, 1, 3, 1, 1, requires_grad=True)
    gradient = torch.tensor([8.0, 2.0, 4.0]).view_as(x)
    loss = dmd_loss(x, gradient, torch.tensor([[False, True, True]]))
    assert float(loss.detach()) == 0.5 * (4 + 16) / 2
    loss.backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.0, 1.0, 2.0]


def test_critic_loss() -> None:
    velocity, noise, x = latents([1.0, -2.0]), latents([0.5, 1.0]), latents([2.0, 0.0]).requires_grad_()
    # targets noise − x: −1.5 and 1; errors 2.5 and −3
    loss = critic_error(velocity.requires_grad_(), noise, x)
    assert float(loss.detach()) == (2.5**2 + 3**2) / 2
    loss.backward()
    assert x.grad is None, "the critic must not train the student"


def conditions(scores: Scores, frames: int):  # type: ignore[no-untyped-def]
    captions = Captions(texts=(("a red sphere",),), segment=np.zeros((1, frames), dtype=np.int64))
    return scores.teacher.conditions(captions), scores.teacher.conditions(silent(captions))


def spec(**changes: object) -> ScoreSpec:
    return ScoreSpec.model_validate({"guidance": 2.0, "shift": 3.0} | changes)


def draws(frames: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(1, SHAPE[0], frames, *SHAPE[1:], generator=generator),
        torch.randn(1, SHAPE[0], frames, *SHAPE[1:], generator=generator),
    )


def test_loss_through_two_networks_of_known_velocity() -> None:
    """Real velocity 0.5, fake 0.2: f − r = σ·(0.5 − 0.2) everywhere."""
    scores = Scores(constant(0.5), constant(0.2), spec(), block=2, compute=COMPUTE)
    x, noise = draws(4)
    sigma = 3 * 0.4 / (1 + 2 * 0.4)
    counts = torch.ones(1, 4, dtype=torch.bool)
    loss = scores.student_loss(x.requires_grad_(), *conditions(scores, 4), noise, [1000 * sigma], counts)
    real = (1 - sigma) * x + sigma * noise - sigma * 0.5
    gradient = sigma * 0.3 / float((x - real).detach().abs().mean())
    assert float(loss.detach()) == pytest.approx(0.5 * gradient**2, rel=1e-5)
    loss.backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, torch.full_like(x, gradient / x.numel()), rtol=1e-4)
    assert all(p.grad is None for p in scores.critic.parameters()), "the student's loss trained the critic"


@pytest.mark.parametrize(("until", "scale"), [(0.0, 4.0), (0.99, 1.0)])
def test_student_loss_is_the_published_arithmetic_on_real_networks(until: float, scale: float) -> None:
    """With the real score guided, and at a noise level where guidance has ended."""
    scores = Scores(backbone(2), backbone(3), spec(guidance=3.0, until=until), block=2, compute=COMPUTE)
    x, noise = draws(4)
    told, untold = conditions(scores, 4)
    timestep = 600.0
    sigma = FlowSchedule(3.0).sigma(timestep)
    noisy, sigmas = (1 - sigma) * x + sigma * noise, torch.full((1, 4), sigma)
    rule = WholeClip(grid=backbone().transformer.config.grid(*SHAPE[1:]), positions=(0, 1, 2, 3))
    with torch.no_grad():
        c, u, f = (
            clean_of(noisy, net(noisy, torch.full((1, 4), timestep), told_by, rule), sigmas)
            for net, told_by in ((scores.teacher, told), (scores.teacher, untold), (scores.critic, told))
        )
    real = u + scale * (c - u)
    expected = 0.5 * ((f - real) / (x - real).abs().mean()).square().mean()
    loss = scores.student_loss(x, told, untold, noise, [timestep], torch.ones(1, 4, dtype=torch.bool))
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)


class Heard(nn.Module):
    """Notes the timesteps that a network is fed."""

    def __init__(self, scores: Scores) -> None:
        super().__init__()
        self.heard: list[Tensor] = []
        for net in (scores.teacher, scores.critic):
            net.transformer.register_forward_pre_hook(self.note)

    def note(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.heard.append(inputs[1])


def test_all_frames_share_the_timestep_of_their_sample() -> None:
    scores = Scores(backbone(2), backbone(3), spec(), block=2, compute=COMPUTE)
    heard, (x, noise) = Heard(scores), draws(4)
    told, untold = conditions(scores, 4)
    scores.student_loss(x, told, untold, noise, [600.0], torch.ones(1, 4, dtype=torch.bool))
    scores.critic_loss(x, told, noise, [20.0])
    assert [t.tolist() for t in heard.heard] == 3 * [[[600.0] * 4]] + [[[20.0] * 4]]


@pytest.mark.parametrize("symmetric", [False, True])
def test_scores_see_the_future_unless_symmetric(symmetric: bool) -> None:
    scores = Scores(backbone(2), backbone(3), spec(symmetric=symmetric), block=2, compute=COMPUTE)
    x, noise = draws(4)
    told, _ = conditions(scores, 4)
    noisy, timestep, _ = scores._noised(x, noise, [500.0])
    changed = noisy.clone()
    changed[:, :, 2:] += 1.0
    before, after = (
        scores._velocity(scores.critic, clip, timestep, told)[:, :, :2] for clip in (noisy, changed)
    )
    assert torch.equal(before, after) is symmetric


def test_a_table_of_another_shift_changes_sigma_by_its_grid_only() -> None:
    """Self-Forcing's code looks σ up in a table of shift 8 beside one of 5: off by half an entry at most."""
    plain, published = (
        Scores(backbone(2), backbone(3), spec(shift=5.0, table_shift=shift), block=2, compute=COMPUTE)
        for shift in (None, 8.0)
    )
    x, noise = draws(2)
    drawn = score_timesteps(np.random.default_rng(0), 64, 5.0, 20.0, 980.0)
    one, other = (
        torch.stack([scores._noised(x, noise, [t])[2] for t in drawn]) for scores in (plain, published)
    )
    differences = (one - other).abs()
    assert 0 < float(differences.max()) < 0.004
    assert float(differences.mean()) < 1e-3
    steps = [scores._noised(x, noise, [937.5])[0] for scores in (plain, published)]
    assert torch.equal(*steps), "noise is added by the student's own schedule"
