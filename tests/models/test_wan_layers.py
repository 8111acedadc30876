"""The two ways of a feed-forward layer's first half, one kernel and two, make the same numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from longtake.models.wan_layers import GeluProjection, _has_one_kernel

needs_one_kernel = pytest.mark.skipif(not _has_one_kernel(), reason="this CPU does not multiply bfloat16")


class _Wrapped(nn.Linear):
    """A linear layer that does more than its weights say, as adapters do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


@pytest.fixture
def layer() -> GeluProjection:
    torch.manual_seed(0)
    return GeluProjection(32, 64, "tanh").to(torch.bfloat16)


def _rows() -> torch.Tensor:
    return 3 * torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(1)).bfloat16()


def _exact(layer: GeluProjection, x: torch.Tensor, approximate: str = "tanh") -> torch.Tensor:
    rows = F.linear(x.double(), layer.proj.weight.double(), layer.proj.bias.double())
    return F.gelu(rows, approximate=approximate)


@needs_one_kernel
@torch.no_grad()
def test_one_kernel_is_as_near_to_the_exact_values_as_bfloat16_can_be(layer: GeluProjection) -> None:
    x = _rows()
    assert layer._one_kernel(x)
    torch.testing.assert_close(layer(x).double(), _exact(layer, x), rtol=2**-8, atol=2e-4)


@needs_one_kernel
@torch.no_grad()
def test_one_kernel_knows_both_forms() -> None:
    torch.manual_seed(0)
    layer = GeluProjection(32, 64, "none").to(torch.bfloat16)
    x = _rows()
    torch.testing.assert_close(layer(x).double(), _exact(layer, x, "none"), rtol=2**-8, atol=2e-4)


def test_two_kernels_where_a_gradient_is_wanted(layer: GeluProjection) -> None:
    x = _rows().requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert layer.proj.weight.grad is not None


@torch.no_grad()
def test_two_kernels_for_a_layer_that_is_more_than_its_weights(layer: GeluProjection) -> None:
    x = _rows()
    plain = layer(x)
    wrapped = _Wrapped(32, 64, dtype=torch.bfloat16)
    wrapped.load_state_dict(layer.proj.state_dict())
    layer.proj = wrapped
    assert (layer(x) - plain).abs().mean() > 0.3


@torch.no_grad()
def test_two_kernels_in_float32(layer: GeluProjection) -> None:
    x = _rows().float()
    assert not layer.float()._one_kernel(x)
    torch.testing.assert_close(layer(x).double(), _exact(layer, x), rtol=1e-5, atol=1e-5)
