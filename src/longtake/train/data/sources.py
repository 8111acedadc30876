"""Videos and their captions in a folder: loose files, or members of WebDataset tars.

In a tar, members of one name up to the first dot of their file name belong together: `000/ab.mp4`, `000/ab.txt` or
`000/ab.json` with a field `caption`. Tars are read in place; a video is copied out while it is decoded, under a name of
our own.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from longtake.errors import UserError
from longtake.footage import MAX_VIDEO_BYTES
from longtake.train.data.captions import MOST_BYTES, TABLES, TEXT_COLUMNS, caption_of, read_table, wordings

__all__ = ["SUFFIXES", "Source", "find_sources"]

SUFFIXES = (
    ".mp4",
    ".mov",
    ".m4v",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mxf",
    ".ogv",
    ".flv",
    ".gif",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One video."""

    key: str
    """Its path in the folder; for a member of a tar, the tar's path, `!` and the member's name."""
    path: Path
    """The file, or the tar."""
    captions: tuple[str, ...]
    """Wordings of its caption; none when it has no caption."""
    offset: int | None = None
    """Where a member's data begin in its tar."""
    bytes: int = 0
    """How many they are."""

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """A file to decode, for as long as the context lasts. Raises UserError when it is not there any more."""
        if self.offset is None:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="longtake-") as folder:
            copy = Path(folder) / f"video{PurePosixPath(self.key).suffix.lower()}"
            try:
                with self.path.open("rb") as tar, copy.open("wb") as file:
                    tar.seek(self.offset)
                    shutil.copyfileobj(_Part(tar.read, self.bytes), file)
            except OSError as reason:
                raise UserError(
                    f"{self.key} cannot be copied out ({reason.strerror}); free some space"
                ) from None
            yield copy


class _Part:
    """The next so many bytes of a file, as a file."""

    def __init__(self, read: Callable[[int], bytes], left: int) -> None:
        self._read, self._left = read, left

    def read(self, size: int = -1) -> bytes:
        part = self._read(self._left if size < 0 else min(size, self._left))
        self._left -= len(part)
        return part


def find_sources(folder: Path) -> list[Source]:
    """Every video below `folder`, by name. Raises UserError when there is none, or a table names one that is not."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give a folder of videos")
    table = _table(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder))
    loose = [
        Source(key=key, path=path, captions=table.get(key) or caption_of(path))
        for path in files
        if path.suffix.lower() in SUFFIXES
        for key in [path.relative_to(folder).as_posix()]
    ]
    lost = sorted(set(table) - {source.key for source in loose})
    if lost:
        raise UserError(
            f"{folder}: the table of captions names {len(lost)} videos that are not there, first {lost[0]}; "
            "put them there, or take the lines out"
        )
    packed = [source for path in files if path.suffix == ".tar" for source in read_tar(path, folder)]
    if not loose and not packed:
        raise UserError(
            f"{folder} holds no videos; give a folder with {', '.join(SUFFIXES[:5])} … or WebDataset tars"
        )
    return loose + packed


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _table(folder: Path) -> dict[str, tuple[str, ...]]:
    found = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UserError(f"{folder} holds {names}; keep one table of captions")
    return read_table(found[0]) if found else {}


def read_tar(path: Path, folder: Path) -> list[Source]:
    """The videos of a WebDataset tar, in its order. Raises UserError when it is damaged."""
    videos: dict[str, tarfile.TarInfo] = {}
    texts: dict[str, tuple[str, ...]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isreg():
                    continue
                sample, suffix = _sample(member.name)
                if f".{suffix.rsplit('.', 1)[-1]}" in SUFFIXES and member.size <= MAX_VIDEO_BYTES:
                    videos[sample] = member
                elif suffix in ("txt", "json", *TEXT_COLUMNS) and member.size <= MOST_BYTES:
                    texts[sample] = _caption(tar, member, suffix) or texts.get(sample, ())
    except (tarfile.TarError, OSError) as reason:
        raise UserError(f"{path} cannot be read ({reason}); give a whole, uncompressed tar") from None
    shown = path.relative_to(folder).as_posix()
    return [
        Source(
            key=f"{shown}!{member.name}",
            path=path,
            captions=texts.get(sample, ()),
            offset=member.offset_data,
            bytes=member.size,
        )
        for sample, member in videos.items()
    ]


def _sample(name: str) -> tuple[str, str]:
    """A member's name up to the first dot of its file name, and what follows, in small letters."""
    path = PurePosixPath(name)
    stem, _, suffix = path.name.partition(".")
    return str(path.parent / stem), suffix.lower()


def _caption(tar: tarfile.TarFile, member: tarfile.TarInfo, suffix: str) -> tuple[str, ...]:
    file = tar.extractfile(member)
    text = file.read().decode("utf-8", errors="replace") if file else ""
    if suffix != "json":
        return wordings(text)
    try:
        values = json.loads(text)
    except json.JSONDecodeError:
        return ()
    named: Sequence[str] = [name for name in TEXT_COLUMNS if isinstance(values, dict) and values.get(name)]
    return wordings(values[named[0]]) if named else ()
