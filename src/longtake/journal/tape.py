"""The pictures that a take is made from: those on record come first, and new ones are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.footage import Picture, VideoFile, VideoInput, cover, read_frames
from longtake.journal.facts import Facts
from longtake.journal.files import given_file, load_pictures
from longtake.journal.rows import GivenRow


class Tape:
    """An iterator of pictures of the take's size, from picture number `first` on."""

    def __init__(self, recorded: Iterator[Picture], beyond: Iterator[Picture], *, end: int) -> None:
        """recorded: what is on record. beyond: what follows in the source. end: pictures on record in all."""
        self._recorded, self._beyond = recorded, beyond
        self._new: list[Picture] = []
        self._first_new = end

    def __iter__(self) -> Iterator[Picture]:
        return self

    def __next__(self) -> Picture:
        picture = next(self._recorded, None)
        if picture is None:
            picture = next(self._beyond)
            self._new.append(picture)
        return picture

    def pending(self) -> tuple[GivenRow, NDArray[np.uint8]] | None:
        """Pictures that are not on record yet, `[T, H, W, 3]`; None when there are none."""
        new = [*self._new]
        return (GivenRow(first=self._first_new, count=len(new)), np.stack(new)) if new else None

    def kept(self, row: GivenRow) -> None:
        """Those are on record now."""
        if row.first == self._first_new:
            self._new, self._first_new = self._new[row.count :], row.first + row.count


def recorded_pictures(folder: Path, rows: list[GivenRow], first: int = 0) -> Iterator[Picture]:
    """The pictures on record from number `first` on. Raises UserError where they are missing or damaged."""
    for row in rows:
        if row.first + row.count > first:
            yield from load_pictures(given_file(folder, row.first), row.count)[max(0, first - row.first) :]


def new_pictures(
    facts: Facts, video: VideoInput | None, first: int, width: int, height: int
) -> Iterator[Picture]:
    """What follows picture number `first` in the source: in its file, or in a live one (none given: nothing)."""
    if facts.source is not None:
        facts.source.check()
        pictures = VideoFile.open(facts.source.path).frames(facts.fps, first)
    else:
        pictures = iter(()) if video is None else read_frames(video)  # type: ignore[arg-type]
    return (cover(picture, width, height) for picture in pictures)
