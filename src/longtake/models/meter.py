"""Counting the bytes that code holds, without computing anything: it is run on tensors without contents."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts every tensor made while it is active, from its making to its end; tensors named before are left out."""

    def __init__(self, before: Iterable[Tensor] = ()) -> None:
        super().__init__()
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
        self.peak = max(self.peak, self.held)
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        if key not in self._sizes and key not in self._known:
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
