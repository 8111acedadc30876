"""What the networks compute in: the hardware decides, or the user."""

from __future__ import annotations

import pytest
import torch

from longtake.errors import UserError
from longtake.models.device import compute_dtype


@pytest.mark.parametrize(("amx", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_hardware_decides(monkeypatch: pytest.MonkeyPatch, amx: bool, dtype: torch.dtype) -> None:
    monkeypatch.delenv("LONGTAKE_DTYPE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    choice = compute_dtype()
    assert choice.dtype == dtype
    assert "AMX" in choice.reason


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_the_user_may_decide(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("LONGTAKE_DTYPE", asked)
    assert compute_dtype() == (getattr(torch, asked), "LONGTAKE_DTYPE")


def test_a_format_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAKE_DTYPE", "fp12")
    with pytest.raises(
        UserError, match="LONGTAKE_DTYPE=fp12 is not a number format; use float32 or bfloat16"
    ):
        compute_dtype()
