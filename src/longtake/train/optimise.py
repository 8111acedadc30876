"""Optimisers, their schedule and the running average of weights, as one state that can be stored.

Muon trains the matrices of the transformer's blocks, AdamW everything else (or everything). The learning rate warms
up, stays, and falls at the end of a stage that says so, so that a run can be lengthened without regret.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from longtake.errors import UserError
from longtake.train.config import OptimiserConfig, Stage
from longtake.train.distributed import fill
from longtake.train.muon import Muon

__all__ = ["Optimiser", "WeightAverage", "lr_factor"]

MUON_MOMENT = "momentum"
"""What Muon keeps of a parameter; AdamW keeps other names."""


def lr_factor(stage: Stage, step_in_stage: int, steps_since_start: int, warmup_steps: int) -> float:
    """Factor on the learning rates at a step of a stage."""
    warm = min(1.0, (steps_since_start + 1) / warmup_steps)
    left = stage.steps - step_in_stage
    if left >= stage.decay_steps:
        return warm * stage.lr
    return warm * (stage.lr_end + (stage.lr - stage.lr_end) * left / stage.decay_steps)


class Optimiser:
    """Both optimisers over named parameters."""

    def __init__(self, named: Mapping[str, nn.Parameter], config: OptimiserConfig) -> None:
        self.named, self.config = dict(named), config
        hidden = [p for name, p in named.items() if config.hidden == "muon" and is_hidden_matrix(name, p)]
        chosen = {id(p) for p in hidden}
        rest = [p for p in named.values() if id(p) not in chosen]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                rest,
                lr=config.adamw_lr,
                betas=config.betas,
                weight_decay=config.adamw_weight_decay,
                fused=True,
            )
        ]
        if hidden:
            muon = Muon(
                hidden,
                lr=config.muon_lr,
                momentum=config.momentum,
                weight_decay=config.muon_weight_decay,
                steps=config.newton_schulz_steps,
            )
            self.parts.append(muon)
        self._rates = [part.param_groups[0]["lr"] for part in self.parts]

    def step(self, factor: float) -> float:
        """Clip, update and clear the gradients; returns their norm before clipping. One that is not finite changes
        nothing."""
        for p in self.named.values():
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        norm = nn.utils.clip_grad_norm_(self.named.values(), self.config.clip)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if not torch.isfinite(norm):
            return float(norm)
        for part, rate in zip(self.parts, self._rates, strict=True):
            part.param_groups[0]["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)
        return float(norm)

    def state(self) -> dict[str, Tensor]:
        """Moments as named tensors: `<parameter>/<moment>`."""
        owner = {id(p): name for name, p in self.named.items()}
        return {
            f"{owner[id(p)]}/{key}": value
            for part in self.parts
            for p, moments in part.state.items()
            for key, value in moments.items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up the moments that `state` gave. Raises UserError when they are another optimiser's."""
        parts = {id(p): part for part in self.parts for p in part.param_groups[0]["params"]}
        for key, value in state.items():
            name, moment = key.rsplit("/", 1)
            p = self.named[name]
            _check_moment(name, moment, parts[id(p)])
            parts[id(p)].state[p][moment] = spread(value, p) if value.ndim else value.to(p.device, copy=True)


def _check_moment(name: str, moment: str, part: torch.optim.Optimizer) -> None:
    stored = "muon" if moment == MUON_MOMENT else "adamw"
    asked = "muon" if isinstance(part, Muon) else "adamw"
    if stored != asked:
        raise UserError(
            f"the checkpoint trained {name} with {stored}, the recipe asks for {asked}; resume with "
            f"hidden: {stored}, or begin a new run from the checkpoint's weights"
        )


def spread(value: Tensor, p: Tensor) -> Tensor:
    """A copy of a whole tensor, held as `p` is: on its device, and in shards where `p` is."""
    copy = torch.empty_like(p, dtype=value.dtype)
    fill(copy, value)
    return copy.detach()


def is_hidden_matrix(name: str, p: nn.Parameter) -> bool:
    """Whether a parameter is a weight matrix inside one of the transformer's blocks."""
    return p.ndim == 2 and name.startswith("transformer.blocks.")


class WeightAverage:
    """Average of weights: a power function of the updates, or a fixed decay from some update on.

    Power function: after t updates the decay is (1 − 1/t)^(γ+1); the averaged span grows with training, so early
    weights are forgotten and a run may end at any step (Karras et al., arXiv 2312.02696, equation 1). Fixed decay, as
    Self-Forcing (arXiv 2506.08009): until its first update the average is the weights themselves.
    """

    def __init__(
        self, named: Mapping[str, Tensor], gamma: float, *, decay: float | None = None, first: int = 1
    ) -> None:
        self.gamma, self.decay, self.first = gamma, decay, first
        self.values = {name: value.detach().clone() for name, value in named.items()}

    @classmethod
    def of(cls, named: Mapping[str, Tensor], config: OptimiserConfig) -> WeightAverage:
        """The average that a config asks for."""
        return cls(named, config.ema_gamma, decay=config.ema_decay, first=config.ema_first)

    @torch.no_grad()
    def update(self, named: Mapping[str, Tensor], step: int) -> None:
        """Take in the weights after update number `step` (from 1)."""
        torch._foreach_lerp_(
            list(self.values.values()), [named[name].detach() for name in self.values], self._weight(step)
        )

    def _weight(self, step: int) -> float:
        if self.decay is None:
            return 1 - (1 - 1 / step) ** (self.gamma + 1)
        return 1 - self.decay if step > self.first else 1.0
