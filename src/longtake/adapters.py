"""LoRAs of a pipeline, in the words of diffusers' pipelines."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from longtake.models.download import Line, fetch_part
from longtake.models.files import PT_SUFFIXES
from longtake.models.lora import read_lora
from longtake.models.lora_set import LoraSet
from longtake.models.parts import File, Part
from longtake.models.places import repository_folder

DEFAULT_FILE = "pytorch_lora_weights.safetensors"
"""What diffusers calls the file of a LoRA in its repository."""
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Adapters:
    """Loads, mixes and takes off LoRAs. A change is for takes that begin after it."""

    _loras: LoraSet

    def load_lora_weights(
        self,
        path_or_repo: str | os.PathLike[str],
        *,
        adapter_name: str | None = None,
        weight_name: str | None = None,
        line: Line | None = None,
        allow_pt: bool = True,
    ) -> str:
        """Put a LoRA around the transformer, at full strength; returns its name.

        path_or_repo: a file, a folder, or `owner/name` on the Hub, with `weight_name` the file in either; every kind
        that `read_lora` knows. line: how the Hub is reached. allow_pt: false refuses files that are not safetensors.
        Raises UserError for what cannot be read, was made for another model, or comes too late (the weights are
        quantised or off-loaded: merge it with `longtake convert --lora` then).
        """
        path = _found(os.fspath(path_or_repo), weight_name, line or Line())
        return self._loras.load(read_lora(path, allow_pt=allow_pt), adapter_name)

    def set_adapters(
        self,
        adapter_names: str | Sequence[str],
        adapter_weights: float | Sequence[float] | None = None,
    ) -> None:
        """Use these LoRAs with these weights (1 unless given), and no others."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        weights = 1.0 if adapter_weights is None else adapter_weights
        each = [float(weights)] * len(names) if isinstance(weights, int | float) else list(weights)
        self._loras.set(names, each)

    def get_active_adapters(self) -> list[str]:
        """Names of the LoRAs in use that are not fused."""
        return list(self._loras.active)

    def fuse_lora(self, lora_scale: float = 1.0, adapter_names: Sequence[str] | None = None) -> None:
        """Add LoRAs (all, unless named) to the weights for good, each at its weight times `lora_scale`.

        A fused LoRA costs nothing in a pass, and stays until the model is opened again.
        """
        self._loras.fuse(lora_scale, adapter_names)

    def unload_lora_weights(self) -> None:
        """Take off all LoRAs that are not fused: the transformer is what it was."""
        self._loras.unload()


def is_local(given: str) -> bool:
    """Whether this names a file or folder, and not a repository on the Hub."""
    path = Path(given)
    is_file_name = path.suffix in (".safetensors", *PT_SUFFIXES)
    return path.exists() or is_file_name or not _REPOSITORY.fullmatch(given)


def _found(given: str, weight_name: str | None, line: Line) -> Path:
    """Where a LoRA is on this machine, once it has been fetched."""
    path = Path(given)
    if is_local(given):
        return path if weight_name is None else path / weight_name
    part = Part(repo=given, files=(File(path=weight_name or DEFAULT_FILE),))
    fetch_part(part, line, who=f"LoRA {given}")
    return repository_folder(part) / part.files[0].path
