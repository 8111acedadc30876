"""Several memories side by side, each for its own kind of context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from torch import Tensor

from longtake.memory import Context, Memory
from longtake.models.wan import TextContext


class Together:
    """What all of them give; no two may give the same kind."""

    def __init__(self, **parts: Memory) -> None:
        self.parts = parts

    @property
    def needs_pixels(self) -> bool:
        """See `Memory.needs_pixels`."""
        return any(part.needs_pixels for part in self.parts.values())

    @property
    def num_bytes(self) -> int:
        """See `Memory.num_bytes`."""
        return sum(part.num_bytes for part in self.parts.values())

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`."""
        context = Context()
        for part in self.parts.values():
            given = part.read(frames, text)
            kinds = {field.name: getattr(given, field.name) for field in fields(given)}
            context = replace(context, **{kind: value for kind, value in kinds.items() if value is not None})
        return context

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None
    ) -> None:
        """See `Memory.commit`."""
        for part in self.parts.values():
            part.commit(frames, latents, text, pixels)

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        return {
            f"{name}.{key}": value
            for name, part in self.parts.items()
            for key, value in part.snapshot().items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`."""
        for name, part in self.parts.items():
            prefix = f"{name}."
            part.restore({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
