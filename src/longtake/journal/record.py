"""What is known of a take without opening a model."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from longtake.timeline import Cue


class Status(enum.StrEnum):
    """Where a take stands."""

    RUNNING = "running"
    """A process owns it."""
    FINISHED = "finished"
    """It has come to its end."""
    STOPPED = "stopped"
    """It was stopped or killed before its end, and can be resumed."""
    DAMAGED = "damaged"
    """Files of it are missing or cut off; `resume` cuts it back to its last good chunk."""


class SourceKind(enum.StrEnum):
    """A video that a take is made from."""

    CLIP = "clip"
    """A clip that it goes on from."""
    FILE = "file"
    """A video file."""
    LIVE = "live"
    """Pictures that come while it is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeRecord:
    """One take, as its journal says."""

    id: str
    """A UUID in lower case."""
    created: float
    """Seconds since 1970."""
    status: Status
    """Where it stands."""
    owner: int | None
    """Process that makes it now."""
    model: str
    """Name of the model."""
    loading: Mapping[str, Any]
    """How to open the model again: `model` (name or folder) and whatever else the maker noted."""
    seed: int
    """Decides every random number."""
    cues: tuple[Cue, ...]
    """Its timeline and the directions that came while it ran, in the order in which they were accepted."""
    width: int
    """Pixels of its video."""
    height: int
    """Pixels of its video."""
    fps: int
    """Frames a second."""
    num_frames: int | None
    """Length that was asked for; None when it has no end, or ends with its source."""
    frames: int
    """Frames that are recorded."""
    chunks: int
    """Chunks that are recorded."""
    kept_from: int
    """Frame from which media is kept; above 0 where retention has taken the beginning."""
    parent: str | None
    """The take that it branched from."""
    branched_at: float | None
    """Media seconds at which it left its parent."""
    size: int
    """Bytes on disk."""
    out: str | None
    """The file that it is written to, beside the journal."""
    has_image: bool
    """Whether it begins with a picture that was given."""
    source: SourceKind | None
    """What it is made from, beside words; None for words alone."""
    fingerprint: Mapping[str, Any]
    """The build that began it; the same bytes are promised on an equal one."""
    unreplayable: str | None
    """Why it cannot be replayed; None when it can."""
    notes: tuple[str, ...]
    """What has happened to it: resumed, rewound, cut, shortened by retention."""

    @property
    def seconds(self) -> float:
        """Media seconds that are recorded."""
        return self.frames / self.fps

    @property
    def prompt(self) -> str:
        """What it began with."""
        return self.cues[0].prompt if self.cues else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        return values | {
            "status": self.status.value,
            "prompt": self.prompt,
            "cues": [cue.to_dict() for cue in self.cues],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }
