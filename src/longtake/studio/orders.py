"""What a worker is asked to make. Plain values: an order can travel to another process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from longtake.settings import Settings
from longtake.timeline import Timeline


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTake:
    """A take from its beginning."""

    model: str
    """Name of a loaded model."""
    timeline: Timeline
    """What is to be seen, and when."""
    seed: int | None = None
    """Decides every random number; None draws one."""
    num_frames: int | None = None
    """Length; None goes on without end, or as long as the model or the source can."""
    settings: Settings = field(default_factory=Settings)
    """The user's other choices."""
    image: Path | None = None
    """First frame: a file that the server made itself out of an upload."""
    video: Path | None = None
    """Source video: a file that the server made itself out of an upload."""
    clip: Path | None = None
    """Clip to go on from: a file that the server made itself out of an upload."""
    has_live_source: bool = False
    """Whether its source are pictures that a client sends."""
    strength: float | None = None
    """How much of the source is replaced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume:
    """A take that is in the journal, from where it stands."""

    take_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """Another take that has the beginning of one in the journal."""

    take_id: str
    """The parent."""
    at: float
    """Media seconds."""
    prompt: str | None = None
    """What is to be seen from there on; None: as before."""
    transition: float = 0.0
    """Seconds over which the old prompt turns into the new one."""
    num_frames: int | None = None
    """Length; None: the parent's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Enhance:
    """A take made larger and cleaner, into a file."""

    take_id: str
    """The take."""
    source: Path
    """All that is made of it, as one file."""
    out: Path
    """The file to write."""


Order = NewTake | Resume | Branch
