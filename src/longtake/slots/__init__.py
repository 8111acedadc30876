"""Conditions other than text: one file a kind. What each contributes to a block is a `Given`.

A slot belongs to one take and changes while the take runs; everything that it knows is in its `snapshot`. It may open
the take with latents of its own, give a block its known frames or its source, and end the take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from longtake.sampling.given import NOTHING, Given


class Slot(Protocol):
    """A kind of condition, filled for one take."""

    @property
    def kind(self) -> str:
        """Name of the kind; the key of its state in a snapshot."""
        ...

    @property
    def opening(self) -> Tensor | None:
        """Latents `[1, C, T, H, W]` that the take begins with: shown and remembered, never denoised."""
        ...

    @property
    def num_frames(self) -> int | None:
        """Pixel frames at which the take must end; None while that is not known."""
        ...

    def fetch(self, stop: int) -> None:
        """Get hold of what the latent frames before `stop` need. A live source may wait here, and may end."""
        ...

    def give(self, frames: range, given: Given) -> Given:
        """`given` with what this slot adds for the latent frames `frames`; blocks come in order, each once."""
        ...

    def snapshot(self) -> dict[str, Tensor]:
        """Everything it knows, as named tensors independent of this object."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Its settings as plain values; with them, `snapshot` and a source it can be made again."""
        ...


def gather(slots: Sequence[Slot], frames: range) -> Given:
    """What all slots together give the latent frames `frames`."""
    given = NOTHING
    for slot in slots:
        given = slot.give(frames, given)
    return given
