"""Counting the bytes that code holds, without computing anything: it is run on tensors without contents."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts every tensor without contents that is made while it is active, from its making to its end.

    before: tensors that are left out. on_cpu: count the copies that convolutions make on a CPU too. Tensors with
    contents stand for what rests in main memory, and are not counted.
    """

    def __init__(self, before: Iterable[Tensor] = (), *, on_cpu: bool = False) -> None:
        super().__init__()
        self.on_cpu = on_cpu
        self.held = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}
        self._before = [tensor.untyped_storage() for tensor in before]
        self._known = {id(storage) for storage in self._before}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        copies = 0
        if self.on_cpu and func is torch.ops.aten.convolution.default:
            copies = _cpu_copies(args[0], args[1], made, args[3])
        self.peak = max(self.peak, self.held + copies)
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        if storage.device.type == "meta" and key not in self._sizes and key not in self._known:
            self._sizes[key] = storage.nbytes()
            self.held += storage.nbytes()
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.held -= self._sizes.pop(key)


class FusedAttention(TorchFunctionMode):
    """Stands for an attention kernel that keeps no scores; on tensors without contents PyTorch would write them out."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            return torch.empty_like(args[0])
        return func(*args, **(kwargs or {}))


def _cpu_copies(x: Tensor, weight: Tensor, made: Tensor, strides: Sequence[int]) -> int:
    """Bytes that a convolution on a CPU holds beside its input and output.

    Mostly a copy in oneDNN's blocked layout. Small 3-D convolutions do without oneDNN and unfold their input into
    columns (PyTorch's `use_mkldnn` rule).
    """
    is_small = x.ndim == 5 and math.prod(x.shape[:4]) <= 20480 and max(strides) == 1
    if is_small and x.dtype == torch.float32:
        return weight[0].numel() * made.numel() // made.shape[1] * made.itemsize
    return max(x.nbytes, made.nbytes)
