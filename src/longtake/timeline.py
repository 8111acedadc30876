"""Prompts over time: cues, the timeline they make, the storyboard file it is read from, and receipts.

Seconds here are media seconds: time in the video, never on the clock. A chunk is decided as a whole, so a cue
`at` a second applies at the first chunk that starts at or after it, and a cue with a transition is fully
applied at the first chunk that starts at or after `at + transition`.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longtake.errors import UserError

_TOLERANCE = 1e-6  # seconds; a frame time such as 1/30 has no exact float
_LATEST = 1e9  # seconds, thirty years


class CueError(UserError):
    """A field of a cue that cannot be used."""

    def __init__(self, field: str, problem: str, index: int = 0) -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem
        self.index = index


@dataclass(frozen=True, kw_only=True, slots=True)
class Cue:
    """One direction: show this prompt from a moment on. Raises `CueError` for a field that will not do."""

    prompt: str
    """What is to be seen; not empty."""
    at: float | None = None
    """Media seconds from the start, at least 0. Exactly one of `at` and `at_chunk` is given."""
    at_chunk: int | None = None
    """Index of the chunk where the cue applies, at least 0."""
    transition: float = 0.0
    """Seconds over which the old prompt turns into this one; 0 changes at once."""

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise CueError("prompt", f"{self.prompt!r} says nothing; describe what is to be seen, in words")
        if (self.at is None) == (self.at_chunk is None):
            given = "neither" if self.at is None else "both"
            raise CueError(
                "at", f"{given} of at and at_chunk given; give exactly one (seconds, or a chunk index)"
            )
        if self.at is not None:
            _check_seconds("at", self.at)
        elif isinstance(self.at_chunk, bool) or not isinstance(self.at_chunk, int) or self.at_chunk < 0:
            raise CueError(
                "at_chunk", f"{_show(self.at_chunk)} is not a chunk index; give a whole number from 0"
            )
        _check_seconds("transition", self.transition)

    def applies(self, chunk: int, start: float) -> bool:
        """Whether chunk number `chunk`, which starts at `start` media seconds, is at or after this cue."""
        if self.at_chunk is not None:
            return chunk >= self.at_chunk
        assert self.at is not None
        return start >= self.at - _TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """The cue as a storyboard spells it: plain values, without the fields that were not given."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def _check_seconds(field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise CueError(field, f"{_show(value)} is not a time; give seconds from 0 to {_LATEST:.0f}")


def _show(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """The cues of a take in the order of their times, the first at the very start."""

    cues: tuple[Cue, ...]
    """At least one. Times given in the same unit (seconds or chunks) rise from cue to cue."""

    def __post_init__(self) -> None:
        if not self.cues:
            raise CueError("cues", "none given; give at least one, with a prompt, at 0")
        first = self.cues[0]
        if first.at or first.at_chunk:
            field = "at" if first.at else "at_chunk"
            raise CueError(
                field, f"{first.at or first.at_chunk} is where the first cue stands; it must be at 0"
            )
        if first.transition:
            raise CueError(
                "transition", f"{first.transition} on the first cue, which has nothing to change from"
            )
        for field in ("at", "at_chunk"):
            self._check_rising(field)

    def _check_rising(self, field: str) -> None:
        last = None
        for index, cue in enumerate(self.cues):
            value = getattr(cue, field)
            if value is None:
                continue
            if last is not None and value <= last:
                raise CueError(field, f"{value} comes after {last}; times must rise from cue to cue", index)
            last = value

    @classmethod
    def from_prompt(cls, prompt: str) -> Timeline:
        """One prompt from start to end."""
        return cls(cues=(Cue(prompt=prompt, at=0.0),))

    @classmethod
    def from_storyboard(cls, path: str | Path) -> Timeline:
        """Read `cues: [{at: 0, prompt: …}, {at: 4, prompt: …, transition: 2}]` from a YAML file.

        Raises:
            UserError: the file cannot be read or is not such a storyboard; names file, line and field.
        """
        from longtake.storyboard import read_storyboard  # here, so that only who reads YAML needs its parser

        return read_storyboard(Path(path))


class ReceiptStatus(enum.StrEnum):
    """What became of a cue."""

    ACCEPTED = "accepted"
    """It is or will be seen."""
    SUPERSEDED = "superseded"
    """A later cue took its place before it was fully applied."""
    REJECTED = "rejected"
    """It cannot be followed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Says for a cue what became of it, and where in the video. Fields are None until known."""

    cue: Cue
    """The cue that this is about."""
    status: ReceiptStatus
    """What became of it."""
    first_chunk: int | None = None
    """Index of the first chunk that the cue touched."""
    applied_chunk: int | None = None
    """Index of the first chunk made under the cue alone."""
    first_time: float | None = None
    """Media seconds where `first_chunk` starts."""
    applied_time: float | None = None
    """Media seconds where `applied_chunk` starts."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "cue": self.cue.to_dict(),
            "status": self.status.value,
            "first_chunk": self.first_chunk,
            "applied_chunk": self.applied_chunk,
            "first_time": self.first_time,
            "applied_time": self.applied_time,
        }
