"""Weights in 8 bits: smaller, close to the plain model, and refused in words where they cannot be had."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models import quantise as module
from longtake.models.quantise import WeightFormat, apply, available, quantise
from longtake.models.wan import WanTransformer
from tests.models.test_offload import answer
from tests.tiny import tiny_transformer

CPU = torch.device("cpu")
NEEDS_TORCHAO = pytest.mark.skipif(available(CPU)["int8"] is not None, reason="torchao is not installed")


def error(form: WeightFormat) -> float:
    """Largest difference from the plain model, in units of its largest value."""
    plain = answer(tiny_transformer())
    with torch.no_grad():
        changed = answer(apply(tiny_transformer(), form))
    return float((changed - plain).abs().max() / plain.abs().max())


@NEEDS_TORCHAO
@pytest.mark.parametrize(("form", "bound"), [("int8", 0.03), ("fp8", 0.15)])
def test_the_error_is_small_and_not_zero(form: WeightFormat, bound: float) -> None:
    measured = error(form)
    assert 1e-5 < measured < bound, f"{form} differs by {measured:.4f} of the largest value"


@NEEDS_TORCHAO
def test_matrices_of_the_blocks_take_a_byte_a_weight_and_nothing_else_changes() -> None:
    plain, small = tiny_transformer(), apply(tiny_transformer(), "int8")
    for name, weight in plain.named_parameters():
        packed = small.get_parameter(name)
        if name.startswith("blocks.") and weight.ndim == 2:
            assert _stored(packed) < 0.4 * weight.numel() * weight.element_size()
        else:
            assert torch.equal(packed, weight), name


def _stored(packed: Tensor) -> int:
    parts = [getattr(packed, name) for name in packed.tensor_data_names]
    return sum(part.numel() * part.element_size() for part in parts)


@NEEDS_TORCHAO
def test_int8_is_to_be_had_on_any_machine() -> None:
    assert isinstance(quantise(tiny_transformer(), "int8"), WanTransformer)


@NEEDS_TORCHAO
def test_fp8_without_the_hardware_is_refused() -> None:
    with pytest.raises(UserError, match=r"fp8: needs a GPU .*leave them in float32"):
        quantise(tiny_transformer(), "fp8")


def test_without_torchao_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'longtake\[quantise\]'"):
        quantise(tiny_transformer(), "int8")
