"""Distribution matching converges: a one-step generator moves onto the teacher's distribution, in two dimensions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from longtake.train.distil.flow import clean_of
from longtake.train.distil.scores import critic_error, dmd_gradient, dmd_loss

MODES = torch.tensor([[1.5, 0.0], [-1.5, 1.0]])
SPREAD = 0.3


def teacher_clean(noisy: Tensor, sigma: Tensor) -> Tensor:
    """E[x0 | x_t] of a mixture of two Gaussians, in closed form: `[B, 2]`."""
    a = 1 - sigma
    variance = (a * SPREAD) ** 2 + sigma**2
    distance = (noisy[:, None] - a[:, None] * MODES).square().sum(-1)
    weight = torch.softmax(-distance / (2 * variance), dim=1)
    each = MODES + (a * SPREAD**2 / variance)[:, None] * (noisy[:, None] - a[:, None] * MODES)
    return (weight[..., None] * each).sum(1)


def net(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 2))


def as_clips(x: Tensor) -> Tensor:
    return x[:, :, None, None, None]


class Toy:
    """Generator and critic as small networks; the losses are the product's own."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.generator, self.critic = net(2), net(3)
        self.adam = [
            torch.optim.Adam(self.generator.parameters(), 1e-3, betas=(0.0, 0.99)),
            torch.optim.Adam(self.critic.parameters(), 4e-3, betas=(0.0, 0.99)),
        ]

    def noised(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sigma, noise = 0.02 + 0.96 * torch.rand(len(x), 1), torch.randn_like(x)
        return (1 - sigma) * x + sigma * noise, sigma, noise

    def velocity(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        out: Tensor = self.critic(torch.cat([noisy, sigma], 1))
        return out

    def critic_step(self) -> None:
        x = self.generator(torch.randn(256, 2)).detach()
        noisy, sigma, noise = self.noised(x)
        self.update(1, critic_error(as_clips(self.velocity(noisy, sigma)), as_clips(noise), as_clips(x)))

    def generator_step(self) -> None:
        x = self.generator(torch.randn(256, 2))
        with torch.no_grad():
            noisy, sigma, _ = self.noised(x)
            fake = clean_of(as_clips(noisy), as_clips(self.velocity(noisy, sigma)), sigma)
            gradient = dmd_gradient(as_clips(x), fake, as_clips(teacher_clean(noisy, sigma)))
        self.update(0, dmd_loss(as_clips(x), gradient, torch.ones(len(x), 1, dtype=torch.bool)))

    def update(self, which: int, loss: Tensor) -> None:
        self.adam[which].zero_grad()
        loss.backward()
        self.adam[which].step()

    def distance(self) -> float:
        """Sliced Wasserstein distance of 2,000 samples to the teacher's distribution."""
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            made = self.generator(torch.randn(2000, 2, generator=generator))
        which = torch.arange(2000) % 2
        real = MODES[which] + SPREAD * torch.randn(2000, 2, generator=generator)
        angle = torch.linspace(0, 3.1416, 9)[:-1]
        directions = torch.stack([angle.cos(), angle.sin()])
        return float(((made @ directions).sort(0).values - (real @ directions).sort(0).values).abs().mean())


def test_a_one_step_generator_moves_onto_the_teachers_distribution() -> None:
    toy = Toy()
    before = toy.distance()
    for step in range(2000):
        if step % 4 == 0:
            toy.generator_step()
        toy.critic_step()
    after = toy.distance()
    assert before > 0.6
    assert after < 0.25, f"{before:.2f} before, {after:.2f} after"
    with torch.no_grad():
        made = toy.generator(torch.randn(1000, 2))
    share = float((torch.cdist(made, MODES).argmin(1) == 0).float().mean())
    assert 0.25 < share < 0.75, f"one of the two modes was lost: {share:.2f}"
