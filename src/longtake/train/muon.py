"""Muon: momentum, orthogonalised by a Newton-Schulz iteration, for matrices (Jordan et al., 2024).

The learning rate is the one of the original: an update has singular values near 1, times √max(1, rows / columns).
Matrices of one shape go through the iteration together, in float32 on CPUs and bfloat16 on CUDA.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalise"]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic with a steep slope at 0; singular values end between about 0.7 and 1.2."""


def orthogonalise(matrices_KRC: Tensor, steps: int) -> Tensor:
    """Nearly the nearest semi-orthogonal matrix of each of K matrices, float32 `[K, R, C]`."""
    a, b, c = COEFFICIENTS
    tall = matrices_KRC.shape[1] > matrices_KRC.shape[2]
    x = matrices_KRC.mT if tall else matrices_KRC
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    x = x.bfloat16() if x.is_cuda else x
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """See the module's text. Every parameter must be a matrix."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        steps: int = 5,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "steps": steps}
        )
        assert all(p.ndim == 2 for group in self.param_groups for p in group["params"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; gradients must be set."""
        for group in self.param_groups:
            for params in _by_shape(group["params"]):
                self._update(params, group)

    def _update(self, params: list[nn.Parameter], group: dict[str, Any]) -> None:
        moving = []
        for p in params:
            assert p.grad is not None
            buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
            buffer.lerp_(p.grad, 1 - group["momentum"])
            moving.append(p.grad.lerp(buffer, group["momentum"]))
        rows, columns = params[0].shape
        scale = group["lr"] * max(1.0, rows / columns) ** 0.5
        for p, update in zip(params, orthogonalise(torch.stack(moving), group["steps"]), strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-scale)


def _by_shape(params: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    shapes: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
    for p in params:
        shapes[p.shape].append(p)
    return list(shapes.values())
