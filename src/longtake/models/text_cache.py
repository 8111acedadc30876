"""Embeddings of prompts on disk, and what is needed to find them without loading an encoder."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from longtake.models.home import cache_folder

__all__ = ["EmbeddingCache", "computed_on"]


class EmbeddingCache:
    """One small safetensors file a prompt, `KEY.safetensors`, and `encoders/IDENTITY`: the fingerprints of encoders.

    A damaged entry is made again; entries appear whole or not at all.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "text"

    def read(self, key: str) -> Tensor | None:
        """The rows `[tokens, D]` kept under `key`, or None."""
        path = self.folder / f"{key}.safetensors"
        if not path.exists():
            return None
        try:
            return load_file(path)["rows"]
        except (SafetensorError, KeyError):
            path.unlink(missing_ok=True)
            return None

    def write(self, key: str, rows: Tensor) -> None:
        """Keep the rows `[tokens, D]`."""
        path = self.folder / f"{key}.safetensors"
        unfinished = _unfinished(path)
        save_file({"rows": rows.contiguous()}, unfinished)
        unfinished.replace(path)

    def fingerprint(self, identity: str) -> str | None:
        """The fingerprint of the encoder whose files have this identity, or None when it was never taken."""
        path = self.folder / "encoders" / identity
        if not path.is_file():
            return None
        text = path.read_text(encoding="ascii", errors="replace").strip()
        return text if re.fullmatch("[0-9a-f]{64}", text) else None

    def remember(self, identity: str, fingerprint: str) -> None:
        """Keep an encoder's fingerprint."""
        path = self.folder / "encoders" / identity
        unfinished = _unfinished(path)
        unfinished.write_text(fingerprint + "\n", encoding="ascii")
        unfinished.replace(path)


def computed_on(device: torch.device) -> str:
    """What rounds sums in a way of its own: rows that are kept must be those that would be computed here."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _unfinished(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.stem}.{os.getpid()}-{threading.get_ident()}.part")
