"""What attention sees of the past, as data. Lengths are latent frames and count the block being made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from longtake.models.data import Data


class FullWindow(Data):
    """Everything, as long as the cache holds it."""

    kind: Literal["full"]
    frames: PositiveInt
    """Frames that the cache holds: no take is longer."""

    @property
    def sink(self) -> int:
        return 0

    @property
    def capacity(self) -> int | None:
        """Most latent frames that a take can have."""
        return self.frames


class Rolling(Data):
    """What all windows that roll have."""

    frames: PositiveInt
    """Most frames that attention sees: sink, recent frames and the block itself."""
    sink: NonNegativeInt = 0
    """Frames from the start of the take that are never forgotten."""

    @property
    def capacity(self) -> int | None:
        """Most latent frames that a take can have; no end."""
        return None


class RollingWindow(Rolling):
    """The first frames and the latest ones (LongLive, Rolling Forcing; without a sink Self-Forcing)."""

    kind: Literal["rolling"]


class EmaWindow(Rolling):
    """A sink that every forgotten frame is folded into (Reward Forcing)."""

    kind: Literal["ema-sink"]
    sink: PositiveInt
    """Frames of the sink; a forgotten frame f is folded into frame `f mod sink` of it."""
    alpha: float = Field(gt=0, lt=1)
    """What is left of the sink each time: `sink ← alpha·sink + (1 − alpha)·forgotten`."""


class AdaptiveWindow(Rolling):
    """A sink whose least similar frame gives way to a new one that it no longer resembles (StreamDiffusionV2)."""

    kind: Literal["adaptive-sink"]
    sink: PositiveInt
    """Frames of the sink."""
    threshold: float = Field(ge=-1, le=1)
    """Similarity (mean cosine of keys and of values) below which a frame of the sink is replaced."""


class RecomputeWindow(Data):
    """No cache: the context is computed anew for each block from its clean latents (Krea)."""

    kind: Literal["recompute"]
    frames: PositiveInt
    """Frames of the context: the first, re-encoded from the oldest pixel frame kept, and the latest ones."""

    @property
    def sink(self) -> int:
        return 0

    @property
    def capacity(self) -> int | None:
        """Most latent frames that a take can have; no end."""
        return None


class ClipWindow(Data):
    """All frames at once, each seeing all others: a model that is not causal."""

    kind: Literal["clip"]
    frames: PositiveInt
    """Frames of the longest clip."""

    @property
    def sink(self) -> int:
        return 0

    @property
    def capacity(self) -> int | None:
        """Most latent frames that a take can have."""
        return self.frames


WindowSpec = Annotated[
    FullWindow | RollingWindow | EmaWindow | AdaptiveWindow | RecomputeWindow | ClipWindow,
    Field(discriminator="kind"),
]
