"""Where a text encoder's weights are while it computes, and where while it rests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from longtake.errors import UserError
from longtake.models.text_weights import EncoderFiles
from longtake.models.umt5 import UMT5Encoder

__all__ = ["Offload", "Residence", "move"]

Offload = Literal["never", "to_cpu", "after_use"]
"""What becomes of the weights after encoding: they stay; they go to main memory; they are given back, and mapped from
their files again for the next prompt that is not in the cache."""

_ALONE = threading.RLock()
"""One encoder is awake at a time: others that rest wait for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Residence:
    """The comings and goings of one encoder's weights. Raises UserError for weights that could not come back."""

    files: EncoderFiles | None
    """Where they can be had again; None for weights that exist in memory only."""
    dtype: torch.dtype | None
    """What weights from files become; None as they are."""
    device: torch.device | None
    """Where they compute; None where they happen to be, for those that never rest."""
    offload: Offload
    """What becomes of them after use."""
    identity: str | None = field(init=False)
    """The files' identity when the encoder was made; see `EncoderFiles.identity`."""

    def __post_init__(self) -> None:
        if self.offload == "after_use" and self.files is None:
            raise UserError("this text encoder has no files to be loaded from again; use offload 'to_cpu'")
        object.__setattr__(self, "identity", None if self.files is None else self.files.identity())

    @contextmanager
    def awake(self, encoder: UMT5Encoder) -> Iterator[None]:
        """The weights where they compute; afterwards where `offload` wants them. Others that want them wait."""
        with nullcontext() if self.offload == "never" else _ALONE:
            if encoder.device.type == "meta":
                self._load_again(encoder)
            elif self.device is not None:
                move(encoder, self.device)
            try:
                yield
            finally:
                if self.offload != "never":
                    move(encoder, "meta" if self.offload == "after_use" else "cpu")
                    if self.device is not None and self.device.type == "cuda":
                        torch.cuda.empty_cache()

    def _load_again(self, encoder: UMT5Encoder) -> None:
        assert self.files is not None  # without files nothing is given back
        assert self.device is not None  # what rests has a place to compute
        if self.files.identity() != self.identity:
            raise UserError(
                f"{self.files.source} has changed since the model was loaded; load the model again"
            )
        self.files.load_into(encoder)
        move(encoder, self.device, self.dtype)


def move(encoder: nn.Module, device: torch.device | str, dtype: torch.dtype | None = None) -> None:
    """Bring all weights to a device, and into a dtype if one is given."""
    encoder.to(device, dtype)
