"""Which kernel computes attention, and whether the feed-forward layers are compiled: chosen once, with the reason.

PyTorch's scaled dot-product attention is the default. `LONGTAKE_ATTENTION` names another: `flash` (the flash-attn
package, on CUDA in 16 bits, where no mask is needed) or `flex` (PyTorch's flex attention); what they cannot compute
goes to the default. `LONGTAKE_COMPILE=1` compiles the feed-forward layers. Each is tested against the default.

Shapes: B batch, S queries, K keys, H heads, D head channels; tensors are `[B, S, H, D]`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.device import halves_on_cpu

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""`(q [B, S, H, D], k, v [B, K, H, D], mask or None) → [B, S, H, D]`. The mask is broadcast to `[B, H, S, K]`: bool,
True where a query may see a key, or a bias that is added to the logits."""

ATTENTION_VARIABLE = "LONGTAKE_ATTENTION"
COMPILE_VARIABLE = "LONGTAKE_COMPILE"
MOST_LOGITS = 1 << 24
"""So many may be in memory at once (32 MiB)."""


class Backend(NamedTuple):
    """A choice and its reason, for `doctor` and the summary."""

    name: str
    reason: str


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """PyTorch's own attention, its kernel by device, format and mask; plain products where they are faster."""
    if mask is None and _products_pay(q, k):
        return products(q, k, v)
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask
    )
    return out.transpose(1, 2)


def products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax between two matrix products in bfloat16, all logits in memory."""
    q, k, v = (x.transpose(1, 2).bfloat16() for x in (q, k, v))
    weights = (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1, dtype=torch.bfloat16)
    return (weights @ v).transpose(1, 2).contiguous()  # as the fused kernel lays it out


def _products_pay(q: Tensor, k: Tensor) -> bool:
    """Whether `products` is faster: bfloat16 on a CPU that multiplies it without AMX. PyTorch's fused kernel multiplies
    in float32 there (measured on Zen 4, 144 to 1728 tokens: 0.6 of its time forward, 0.5 with the backward pass)."""
    if q.device.type != "cpu" or not _halves_without_amx():
        return False
    format = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else q.dtype
    logits = q.shape[0] * q.shape[2] * q.shape[1] * k.shape[1]
    return format == torch.bfloat16 and logits <= MOST_LOGITS


@cache
def _halves_without_amx() -> bool:
    return halves_on_cpu() and not torch.cpu._is_amx_tile_supported()


def flex(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """PyTorch's flex attention; the mask becomes a rule on the score of each pair."""
    from torch.nn.attention.flex_attention import flex_attention

    fused: Any = _compiled(flex_attention) if q.is_cuda else flex_attention
    wide = None if mask is None else mask.expand(q.shape[0], q.shape[2], q.shape[1], k.shape[1])

    def score(value: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        assert wide is not None
        entry = wide[b, h, i, j]
        return torch.where(entry, value, -torch.inf) if entry.dtype == torch.bool else value + entry

    heads_first = (x.transpose(1, 2) for x in (q, k, v))
    out: Tensor = fused(*heads_first, score_mod=None if wide is None else score)
    return out.transpose(1, 2)


def flash(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """The flash-attn package; with a mask, or outside 16-bit CUDA tensors, PyTorch's own."""
    if mask is not None or not q.is_cuda or q.dtype not in (torch.float16, torch.bfloat16):
        return sdpa(q, k, v, mask)
    from flash_attn import flash_attn_func

    out: Tensor = flash_attn_func(q, k, v)
    return out


KERNELS: dict[str, Attend] = {"sdpa": sdpa, "flex": flex, "flash": flash}


@cache
def attention_backend() -> Backend:
    """Which kernel attends in this process. Raises UserError for an unknown name, or one that is not installed."""
    name = os.environ.get(ATTENTION_VARIABLE)
    if name is None:
        return Backend("sdpa", "the default")
    if name not in KERNELS:
        raise UserError(f"{ATTENTION_VARIABLE}={name} is unknown; use one of {', '.join(KERNELS)}")
    if name == "flash" and (find_spec("flash_attn") is None or not torch.cuda.is_available()):
        raise UserError(
            f"{ATTENTION_VARIABLE}=flash needs a CUDA GPU and the flash-attn package; leave it out for the default"
        )
    return Backend(name, f"{ATTENTION_VARIABLE} asks for it")


@cache
def kernel() -> Attend:
    """The function of the chosen backend."""
    return KERNELS[attention_backend().name]


def compile_backend() -> Backend:
    """Whether feed-forward layers are compiled in this process. Raises UserError for a value other than 0 and 1."""
    value = os.environ.get(COMPILE_VARIABLE, "0")
    if value not in ("0", "1"):
        raise UserError(f"{COMPILE_VARIABLE}={value} is unknown; use 1 (on) or 0 (off)")
    if value == "0":
        return Backend("eager", f"{COMPILE_VARIABLE} is not 1")
    return Backend("compile", f"{COMPILE_VARIABLE} asks for it")


def compile_feed_forward(blocks: nn.Module) -> None:
    """Compile every feed-forward layer in place; names of parameters stay. The first call of each shape takes long."""
    for name, module in blocks.named_modules():
        if name.endswith("ffn"):
            module.compile()


@cache
def _compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = torch.compile(function)
    return compiled
