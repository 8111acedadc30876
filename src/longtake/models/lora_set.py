"""The LoRAs around one transformer: loaded, mixed, fused and taken off by name, with a record of what is in force."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from longtake.errors import UserError
from longtake.models.lora import Lora
from longtake.models.lora_adapter import LoraAdapter


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedLora:
    """A LoRA in force."""

    name: str
    """Its file, for people."""
    digest: str
    """What tells it from any other: SHA-256 of its contents."""
    scale: float
    """How much of it."""

    def __str__(self) -> str:
        return f"{self.name}:{self.scale:g}"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A LoRA that can still be taken off."""

    adapter: LoraAdapter
    file: str
    digest: str

    @property
    def applied(self) -> AppliedLora:
        return AppliedLora(name=self.file, digest=self.digest, scale=self.adapter.scale)


class LoraSet:
    """See the module's text."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._loaded: dict[str, _Loaded] = {}
        self._fused: list[AppliedLora] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Those that can be set, fused or taken off."""
        return tuple(self._loaded)

    @property
    def active(self) -> tuple[str, ...]:
        """Those of them that have an effect."""
        return tuple(name for name, each in self._loaded.items() if each.adapter.scale)

    @property
    def applied(self) -> tuple[AppliedLora, ...]:
        """All that the model is changed by, the fused first."""
        return (*self._fused, *(self._loaded[name].applied for name in self.active))

    def load(self, lora: Lora, name: str | None = None) -> str:
        """Put `lora` around the model at full scale; returns its name. UserError when it does not fit."""
        free = (f"default_{n}" for n in range(len(self._loaded) + 1))
        name = next(each for each in free if each not in self._loaded) if name is None else name
        adapter = LoraAdapter(self._model, lora, name=name)
        self._loaded[name] = _Loaded(adapter, lora.source.name, digest_of(lora))
        return name

    def set(self, names: Sequence[str], scales: Sequence[float]) -> None:
        """Give these LoRAs these scales, and all others 0. UserError for unknown names, or scales that are none."""
        if len(names) != len(scales):
            raise UserError(f"{len(names)} LoRAs and {len(scales)} weights given; give one weight for each")
        if wrong := [scale for scale in scales if not math.isfinite(scale)]:
            raise UserError(f"LoRA weight {wrong[0]} is not a number; give one such as 0.8")
        self._check(names)
        wanted = dict(zip(names, scales, strict=True))
        for name, each in self._loaded.items():
            each.adapter.scale = wanted.get(name, 0.0)

    def fuse(self, scale: float = 1.0, names: Sequence[str] | None = None) -> None:
        """Add LoRAs (all, unless named) to the weights for good, each at `scale` times its own."""
        self._check(names or ())
        for name in list(self._loaded) if names is None else names:
            each = self._loaded.pop(name)
            each.adapter.scale *= scale
            each.adapter.merge()
            self._fused.append(each.applied)

    def unload(self) -> None:
        """Take off all that are not fused."""
        for each in self._loaded.values():
            each.adapter.unload()
        self._loaded.clear()

    def _check(self, names: Sequence[str]) -> None:
        if unknown := [name for name in names if name not in self._loaded]:
            known = ", ".join(self._loaded) or "none"
            raise UserError(f"no LoRA is called {unknown[0]!r}; loaded are: {known}")


def digest_of(lora: Lora) -> str:
    """SHA-256 over names, shapes, scales and contents, whatever file they came in."""
    digest = hashlib.sha256()
    for name, change in sorted(lora.layers.items()):
        digest.update(f"{name} {change.alpha!r}".encode())
        for matrix in (change.a, change.b):
            digest.update(f"{matrix.dtype} {tuple(matrix.shape)}".encode())
            digest.update(matrix.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
