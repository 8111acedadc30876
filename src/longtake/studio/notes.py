"""What is known of videos beside their journals: one small JSON file each, put in place whole."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A take that was asked for as a video."""

    id: str
    """The take's id."""
    created_at: int
    """Seconds since 1970."""
    who: str
    """A name for the token that asked for it."""
    remixed_from: str | None = None
    """The video that it was made of."""
    completed_at: int | None = None
    """Seconds since 1970."""
    error_code: str | None = None
    """What it failed of; None unless it did."""
    error_message: str | None = None
    """The same, for the user."""


class Notes:
    """The notes in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Note]:
        """Every note that can be read, oldest first."""
        if not self._folder.is_dir():
            return []
        found = (_read(path) for path in self._folder.glob("*.json"))
        return sorted((note for note in found if note), key=lambda note: (note.created_at, note.id))

    def write(self, note: Note) -> None:
        """Keep a note; an older one of the same video is replaced."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{note.id}.part"
        with part.open("w", encoding="utf-8") as file:
            json.dump(asdict(note), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / f"{note.id}.json")

    def delete(self, id: str) -> None:
        """Remove a note; none is no harm."""
        (self._folder / f"{id}.json").unlink(missing_ok=True)


def _read(path: Path) -> Note | None:
    """A note; None for a file that is none."""
    names = {field.name for field in fields(Note)}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Note(**values) if isinstance(values, dict) and set(values) <= names else None
    except (OSError, ValueError, TypeError):
        return None
