"""Making a take again from its record, and comparing everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The first place where a replay differs from its record."""

    index: int
    """Number of the chunk."""
    what: str
    """"latents", "frames", "segment" or "receipts"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayReport:
    """What a replay found."""

    chunks: int
    """Chunks that were made again."""
    frames: int
    """Frames in those that are equal."""
    difference: Difference | None
    """The first; None when every byte is the same."""
    same_build: bool
    """Whether this build is the one that began the take; otherwise a difference is no fault."""
