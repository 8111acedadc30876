"""Which device and which number format training uses, with the reason."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from longtake.errors import UserError
from longtake.models.device import halves_on_cpu

__all__ = ["Compute", "choose_compute"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """Where and in what format networks run; weights stay float32."""

    device: torch.device
    bfloat16: bool
    reason: str
    """Why this format."""

    def autocast(self) -> AbstractContextManager[object]:
        """Context for forward passes."""
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def choose_compute(device: str, precision: str) -> Compute:
    """`device` is `auto` or torch's name for one; `precision` `auto`, `float32` or `bfloat16`."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError:
        raise UserError(f"device {device} is not known; use auto, cpu or cuda") from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda given, but torch finds no GPU; use auto or cpu")
    if precision != "auto":
        return Compute(device=place, bfloat16=precision == "bfloat16", reason="as configured")
    if place.type == "cuda":
        return Compute(device=place, bfloat16=True, reason="CUDA has fast bfloat16")
    if halves_on_cpu():
        return Compute(device=place, bfloat16=True, reason="this CPU multiplies bfloat16")
    return Compute(device=place, bfloat16=False, reason="this CPU does not multiply bfloat16 itself")
