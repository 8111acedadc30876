"""The whole state of a take at one moment, in memory or in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import UserError

FORMAT = "longtake-snapshot-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """State of a take after some chunk."""

    tensors: Mapping[str, Tensor]
    """Memory, latents in flight and codec caches, named `memory.…`, `flight.…` and `codec.…`."""
    meta: Mapping[str, Any]
    """Everything else, as plain JSON values: model, seed, position, cues, receipts."""

    @property
    def num_bytes(self) -> int:
        """Bytes of its tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, without its prefix."""
        return {
            key.removeprefix(f"{name}."): value
            for key, value in self.tensors.items()
            if key.startswith(f"{name}.")
        }

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        tensors = {key: value.contiguous() for key, value in self.tensors.items()}
        save_file(tensors, path, metadata={"format": FORMAT, "meta": json.dumps(self.meta)})

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Read a file written by `save`. Raises UserError when it is missing, damaged or something else."""
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        except (OSError, SafetensorError) as reason:
            raise UserError(
                f"snapshot {path} cannot be read ({reason}); use a file that a take has saved"
            ) from None
        if header.get("format") != FORMAT:
            raise UserError(f"{path} is not a snapshot of a take; use a file that a take has saved")
        return cls(tensors=tensors, meta=json.loads(header["meta"]))
