"""Every way of computing attention and feed-forward gives what the default gives."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models import attention, backends
from longtake.models.attention import attend
from longtake.models.backends import (
    ATTENTION_VARIABLE,
    COMPILE_VARIABLE,
    attention_backend,
    compile_backend,
    compile_feed_forward,
    flash,
    flex,
    kernel,
    products,
    sdpa,
)
from longtake.models.wan_layers import FeedForward

CUDA = torch.cuda.is_available()


@pytest.fixture(autouse=True)
def _chosen_anew():
    for function in (attention_backend, kernel):
        function.cache_clear()
    yield
    for function in (attention_backend, kernel):
        function.cache_clear()


def tensors(dtype: torch.dtype = torch.float32, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 12, 3, 16, generator=generator)
    k, v = torch.randn(2, 2, 20, 3, 16, generator=generator)
    return q.to(device, dtype), k.to(device, dtype), v.to(device, dtype)


def plain(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention written out."""
    logits = torch.einsum("bshd,bkhd->bhsk", q, k) / q.shape[-1] ** 0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    return torch.einsum("bhsk,bkhd->bshd", logits.softmax(-1), v)


MASKS = {
    "none": None,
    "bool": torch.arange(20)[None] <= torch.arange(12)[:, None] + 8,
    "bias": torch.linspace(-2, 2, 20).expand(12, 20),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("backend", [sdpa, flex], ids=["sdpa", "flex"])
def test_it_computes_attention(backend, mask: Tensor | None) -> None:
    q, k, v = tensors()
    difference = float((backend(q, k, v, mask) - plain(q, k, v, mask)).abs().max())
    assert difference < 1e-6, f"differs by {difference:.1e}"


def test_products_are_attention_in_halves() -> None:
    q, k, v = tensors()
    found = products(q, k, v)
    assert found.dtype == torch.bfloat16
    assert found.is_contiguous()
    assert (found - plain(q, k, v, None)).abs().max() < 0.03


def test_products_have_the_gradients_of_attention() -> None:
    given = [x.requires_grad_() for x in tensors()]
    weight = torch.randn(2, 12, 3, 16, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad((products(*given) * weight).sum(), given)
    wanted = torch.autograd.grad((plain(*given, None) * weight).sum(), given)
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() < 0.03 * other.abs().max()


@pytest.mark.parametrize("autocast", [True, False])
def test_a_cpu_that_multiplies_halves_attends_by_products(monkeypatch, autocast: bool) -> None:
    monkeypatch.setattr(backends, "_halves_without_amx", lambda: True)
    taken: list[torch.dtype] = []
    monkeypatch.setattr(backends, "products", lambda q, k, v: taken.append(q.dtype) or products(q, k, v))
    q, k, v = tensors(torch.float32 if autocast else torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        sdpa(q, k, v)
        sdpa(q, k, v, MASKS["bool"])
    sdpa(*tensors())
    assert len(taken) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA or find_spec("flash_attn") is None, reason="needs CUDA and flash-attn")
def test_flash_equals_the_default() -> None:
    q, k, v = tensors(torch.bfloat16, "cuda")
    assert float((flash(q, k, v) - sdpa(q, k, v)).abs().max()) < 2e-2


def test_what_flash_cannot_compute_goes_to_the_default() -> None:
    q, k, v = tensors()
    assert torch.equal(flash(q, k, v, MASKS["bool"]), sdpa(q, k, v, MASKS["bool"]))


def test_the_network_uses_the_chosen_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attention_backend() == ("sdpa", "the default")
    assert kernel() is sdpa
    attention_backend.cache_clear()
    kernel.cache_clear()
    monkeypatch.setenv(ATTENTION_VARIABLE, "flex")
    assert kernel() is flex
    called = []
    monkeypatch.setattr(attention, "kernel", lambda: lambda *x: called.append(1) or flex(*x))
    attend(*tensors())
    assert called


@pytest.mark.parametrize(
    ("name", "words"), [("fast", "one of sdpa, flex, flash"), ("flash", "needs a CUDA GPU")]
)
def test_a_choice_that_cannot_be_had_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    if name == "flash" and CUDA and find_spec("flash_attn"):
        pytest.skip("flash can be had here")
    monkeypatch.setenv(ATTENTION_VARIABLE, name)
    with pytest.raises(UserError, match=words):
        attention_backend()


def test_compiling_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMPILE_VARIABLE, raising=False)
    assert compile_backend().name == "eager"
    monkeypatch.setenv(COMPILE_VARIABLE, "1")
    assert compile_backend().name == "compile"
    monkeypatch.setenv(COMPILE_VARIABLE, "yes")
    with pytest.raises(UserError, match="use 1"):
        compile_backend()


def test_compiled_feed_forward_equals_the_eager_one() -> None:
    torch.manual_seed(0)
    block = torch.nn.ModuleDict({"ffn": FeedForward(16, 32, 16)})
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        eager = block["ffn"](x)
        names = list(block.state_dict())
        compile_feed_forward(block)
        try:
            compiled = block["ffn"](x)
        except torch._dynamo.exc.BackendCompilerFailed as reason:
            pytest.skip(f"no working compiler here: {reason}")
    assert block["ffn"]._compiled_call_impl is not None
    assert list(block.state_dict()) == names
    difference = float((compiled - eager).abs().max())
    assert difference < 1e-6, f"differs by {difference:.1e}"
