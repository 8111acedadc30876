"""Networks in bfloat16 on a CPU that does not multiply it: products in float32, a layer at a time.

Such a CPU works bfloat16 out number by number: matrices several times, convolutions hundreds of times slower than in
float32. Weights stay in bfloat16; the copy of one layer's lasts for its product. The result is that of bfloat16: it too
sums in float32 and rounds once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.models.device import halves_on_cpu

__all__ = ["codec_dtype", "needed", "widen"]


class _WideLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        if not _slow(input, self.weight):
            return super().forward(input)
        bias = None if self.bias is None else self.bias.float()
        return F.linear(input.float(), self.weight.float(), bias).bfloat16()


class _WideConv3d(nn.Conv3d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not _slow(input, weight):
            return super()._conv_forward(input, weight, bias)
        wide = None if bias is None else bias.float()
        return super()._conv_forward(input.float(), weight.float(), wide).bfloat16()


_WIDE: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: _WideLinear, nn.Conv3d: _WideConv3d}


def needed(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a network in this dtype gains by `widen` here."""
    return dtype == torch.bfloat16 and device.type == "cpu" and not halves_on_cpu()


def codec_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """What a codec computes in beside a transformer of this dtype: it is small, and made of convolutions."""
    return torch.float32 if needed(dtype, device) else dtype


def widen(network: nn.Module) -> None:
    """Let the layers of a network, in place, work in float32 where they are given bfloat16 on a CPU."""
    for layer in network.modules():
        if type(layer) in _WIDE:
            layer.__class__ = _WIDE[type(layer)]


def _slow(input: Tensor, weight: Tensor) -> bool:
    return input.dtype == torch.bfloat16 and weight.device.type == "cpu"
