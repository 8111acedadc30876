"""The file that is written beside a journal: brought to where the record stands, so that it can be finished.

The record is what counts: a file may lag behind it after a kill, and may end in anything after a crash of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from longtake.errors import UserError
from longtake.journal.media import Media, Segment
from longtake.media import FragmentedMp4Writer


def continue_file(path: Path, media: Media) -> FragmentedMp4Writer:
    """A writer that stands after the last recorded chunk: what the file lacks is written, what it has too much is cut.

    Raises UserError when the file holds another video, cannot be written, or lacks media that is not kept any more.
    """
    segments = media.segments()
    try:
        if path.exists() and not is_beginning(path, media, segments):
            raise UserError(f"{path} holds another video; give another file as --out")
        if not segments:
            return FragmentedMp4Writer(path, media.form, overwrite=True)
        with open(path, "r+b" if path.exists() else "x+b") as file:
            _bring_up(file, media, segments)
    except OSError as reason:
        raise UserError(f"{path} cannot be written: {reason.strerror}; give another file as --out") from None
    return FragmentedMp4Writer.resume(path, media.form)


def export_file(path: Path, media: Media) -> None:
    """Write all recorded media into a new file, put in place when it is whole. Raises UserError where some is gone."""
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb") as file:
            file.write(media.init_segment)
            for segment in media.segments():
                file.write(media.read(segment.index))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as reason:
        raise UserError(f"{path} cannot be written: {reason.strerror}; give another file") from None
    finally:
        part.unlink(missing_ok=True)


def is_beginning(path: Path, media: Media, segments: Sequence[Segment]) -> bool:
    """Whether a file begins as the record does (head and first segment), as far as it goes."""
    beginning = media.init_segment
    if segments and segments[0].kept:
        beginning += media.read(0)
    with open(path, "rb") as file:
        return beginning.startswith(file.read(len(beginning)))


def _bring_up(file: BinaryIO, media: Media, segments: Sequence[Segment]) -> None:
    file.seek(0)
    end = 0
    for size, part in _parts(media, segments):
        found = file.read(size)
        if len(found) < size or (part is not None and found != part):
            file.seek(end)
            file.write(_needed(media, part))
        end += size
    file.truncate(end)
    file.flush()
    os.fsync(file.fileno())


def _parts(media: Media, segments: Sequence[Segment]) -> Iterator[tuple[int, bytes | None]]:
    """The parts of the whole file: bytes of each, and what they are where that is kept."""
    yield len(media.init_segment), media.init_segment
    for segment in segments:
        yield segment.size, media.read(segment.index) if segment.kept else None


def _needed(media: Media, part: bytes | None) -> bytes:
    if part is None:
        raise UserError(
            "the file lacks media that went to make room; `longtake takes replay` can check the record"
        )
    return part
