"""Captions beside videos: a text file of the same name, or one table for the whole folder.

A table is `captions.csv`, `captions.jsonl`, `metadata.csv` or `metadata.jsonl` in the folder itself. Its columns:
`file_name` (also `video`, `path`, `file`), relative to the folder, and `caption` (also `text`, `prompt`), in JSONL
one text or a list of wordings. In a text file every line is a wording of the caption.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from longtake.errors import UserError

__all__ = ["TABLES", "caption_of", "read_table", "wordings"]

TABLES = ("captions.jsonl", "captions.csv", "metadata.jsonl", "metadata.csv")
FILE_COLUMNS = ("file_name", "video", "path", "file")
TEXT_COLUMNS = ("caption", "text", "prompt", "captions")
MOST_BYTES = 2**20
"""Of a text file."""


def caption_of(video: Path) -> tuple[str, ...]:
    """Wordings from the text file beside a video; none when there is no such file."""
    path = video.with_suffix(".txt")
    if not path.is_file():
        return ()
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"caption {path} has more than 1 MiB; give a text file of a few lines")
    return wordings(_text(path))


def wordings(text: object) -> tuple[str, ...]:
    """The lines of a text, or the texts of a list, each once; blank ones are left out."""
    lines: Iterable[object] = text.splitlines() if isinstance(text, str) else []
    lines = text if isinstance(text, list) else lines
    return tuple(
        dict.fromkeys(" ".join(line.split()) for line in lines if isinstance(line, str) and line.strip())
    )


def read_table(path: Path) -> dict[str, tuple[str, ...]]:
    """Captions by the file's path in the folder. Raises UserError that names the line that cannot be used."""
    table: dict[str, tuple[str, ...]] = {}
    for number, row in _csv(path) if path.suffix == ".csv" else _jsonl(path):
        name = _first(row, FILE_COLUMNS)
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{path} line {number} names no video; give a column {' or '.join(FILE_COLUMNS)}")
        place = Path(name.strip())
        if place.is_absolute() or ".." in place.parts:
            raise UserError(f"{path} line {number}: {name} lies outside the folder; give a path inside it")
        table[place.as_posix()] = table.get(place.as_posix(), ()) + wordings(_first(row, TEXT_COLUMNS))
    return table


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> object:
    return next((row[name] for name in names if row.get(name)), None)


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv.DictReader(_text(path).splitlines())
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as reason:
        raise UserError(f"{path} line {rows.line_num} cannot be read ({reason}); write it as CSV") from None


def _jsonl(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as reason:
            raise UserError(
                f"{path} line {number} is not JSON ({reason.msg}); write one object a line"
            ) from None
        if not isinstance(row, dict):
            raise UserError(f"{path} line {number} is no JSON object; write one object a line")
        yield number, row


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as reason:
        raise UserError(f"{path} cannot be read ({reason}); give a text file in UTF-8") from None
