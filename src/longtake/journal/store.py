"""The SQLite file of one take. Rows are added; what no longer counts is marked, never removed.

A transaction is on the disk when it returns (WAL, synchronous=FULL), so a row says that its files are there. Safe from
several threads; readers in other processes see whole transactions.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any, Self

from longtake.errors import UserError
from longtake.journal.rows import ChunkRow, CueRow, EventRow, GivenRow, SnapshotRow, cue_from_json
from longtake.timeline import Cue

NAME = "journal.db"
FORMAT = 1
_SCHEMA = """
CREATE TABLE take (format INTEGER NOT NULL, facts TEXT NOT NULL, init BLOB NOT NULL);
CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, time REAL NOT NULL, text TEXT NOT NULL);
CREATE TABLE cues (id INTEGER PRIMARY KEY, cue TEXT NOT NULL, steered INTEGER NOT NULL, dropped INTEGER);
CREATE TABLE given (first INTEGER PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL, chunk INTEGER NOT NULL, start_frame INTEGER NOT NULL,
    frames INTEGER NOT NULL, decode_end INTEGER NOT NULL, latents_digest TEXT NOT NULL, frames_digest TEXT NOT NULL,
    segment_digest TEXT NOT NULL, latents_size INTEGER NOT NULL, segment_size INTEGER NOT NULL,
    receipts TEXT NOT NULL, expired INTEGER NOT NULL, dropped INTEGER);
CREATE UNIQUE INDEX live_chunks ON chunks (number) WHERE dropped IS NULL;
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL, made INTEGER NOT NULL, last_cue INTEGER NOT NULL,
    size INTEGER NOT NULL, dropped INTEGER);
"""
_CHUNK = (
    "id, number, chunk, start_frame, frames, decode_end, latents_digest, frames_digest, segment_digest, "
    "latents_size, segment_size, receipts, expired"
)

_BUSY_SECONDS = 60
"""How long a writer waits for another: a branch holds its parent's record while it links or copies the files."""


class Store:
    """See the module's text."""

    def __init__(self, folder: Path) -> None:
        """Open a take's record. Raises UserError when it cannot be read."""
        self.folder = folder
        self._lock = threading.RLock()
        if not (folder / NAME).is_file():
            raise UserError(f"take {folder.name} has no {NAME}; delete it, or restore the file")
        self._connection = sqlite3.connect(
            folder / NAME, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS
        )
        try:
            _make_durable(self._connection)
            format, facts, self.init_segment = self._one("SELECT format, facts, init FROM take")
        except (sqlite3.DatabaseError, TypeError) as reason:
            self._connection.close()
            raise UserError(f"take {folder.name} cannot be read: its {NAME} is damaged ({reason})") from None
        if format != FORMAT:
            self._connection.close()
            raise UserError(
                f"take {folder.name} has format {format}, this longtake reads {FORMAT}; update it"
            )
        self.facts: Mapping[str, Any] = json.loads(facts)

    @classmethod
    def create(cls, folder: Path, facts: Mapping[str, Any], init: bytes, cues: Sequence[CueRow]) -> Self:
        """A new record in an empty folder. `facts` are plain values; `cues` the directions that it begins with."""
        connection = sqlite3.connect(folder / NAME, isolation_level=None)
        _make_durable(connection)
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO take VALUES (?, ?, ?)", (FORMAT, json.dumps(facts), init))
        connection.close()
        store = cls(folder)
        with store.transaction():
            for row in cues:
                store._add_cue(row.cue, row.steered, row.id)
            store._event("created", "")
        return store

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is there as a whole, or not at all; inside another one it is a part of that."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                commit(self._connection)
            finally:
                self._roll_back()

    def _roll_back(self) -> None:
        """Take back what was not committed."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _one(self, query: str, values: Sequence[Any] = ()) -> Any:
        with self._lock:
            return self._connection.execute(query, values).fetchone()

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def chunks(self, first: int = 0) -> list[ChunkRow]:
        """The chunks of the take from number `first` on, oldest first."""
        live = "WHERE dropped IS NULL AND number >= ? ORDER BY number"
        rows = self._all(f"SELECT {_CHUNK} FROM chunks {live}", (first,))
        return [_chunk(row) for row in rows]

    def chunk(self, number: int) -> ChunkRow | None:
        """One chunk; None when there is none of that number."""
        row = self._one(f"SELECT {_CHUNK} FROM chunks WHERE dropped IS NULL AND number = ?", (number,))
        return None if row is None else _chunk(row)

    def kept(self) -> list[ChunkRow]:
        """The chunks whose files are there in the order in which retention takes them: dropped ones first."""
        order = "ORDER BY dropped IS NULL, id"
        return [_chunk(row) for row in self._all(f"SELECT {_CHUNK} FROM chunks WHERE NOT expired {order}")]

    def kept_bytes(self) -> int:
        """Bytes of media, latents and snapshots that are there."""
        chunks = self._one("SELECT total(latents_size + segment_size) FROM chunks WHERE NOT expired")[0]
        return int(chunks + self._one("SELECT total(size) FROM snapshots WHERE dropped IS NULL")[0])

    def snapshots(self) -> list[SnapshotRow]:
        """The snapshots that count, oldest first."""
        rows = self._all(
            "SELECT id, number, made, last_cue, size FROM snapshots WHERE dropped IS NULL ORDER BY number"
        )
        keys = ("id", "number", "made", "last_cue", "size")
        return [SnapshotRow(**dict(zip(keys, row, strict=True))) for row in rows]

    def cues(self) -> list[CueRow]:
        """The directions that count, in the order in which they were accepted."""
        rows = self._all("SELECT id, cue, steered FROM cues WHERE dropped IS NULL ORDER BY id")
        return [CueRow(id=id, cue=cue_from_json(cue), steered=bool(steered)) for id, cue, steered in rows]

    def given(self) -> list[GivenRow]:
        """The pictures of the source that are kept, in order."""
        rows = self._all("SELECT first, count FROM given ORDER BY first")
        return [GivenRow(first=first, count=count) for first, count in rows]

    def events(self) -> list[EventRow]:
        """What happened, in order."""
        rows = self._all("SELECT kind, time, text FROM events ORDER BY id")
        return [EventRow(kind=kind, time=time, text=text) for kind, time, text in rows]

    def is_finished(self) -> bool:
        """Whether the take has come to its end, and nothing was dropped since."""
        last = self._one(
            "SELECT kind FROM events WHERE kind IN ('finished', 'cut', 'rewound') ORDER BY id DESC LIMIT 1"
        )
        return last is not None and last[0] == "finished"

    def course(self) -> int:
        """How often chunks were dropped: rewound, or cut. Chunks of the same number may differ between two courses."""
        return int(self._one("SELECT count(*) FROM events WHERE kind IN ('cut', 'rewound')")[0])

    def last_id(self) -> int:
        """The highest number of a chunk's row, dropped ones included; -1 when there is none."""
        last = self._one("SELECT max(id) FROM chunks")[0]
        return -1 if last is None else int(last)

    def last_cue(self) -> int:
        """The highest number of a direction, dropped ones included."""
        return int(self._one("SELECT max(id) FROM cues")[0])

    def add(
        self, chunks: Iterable[ChunkRow], snapshots: Iterable[SnapshotRow], given: Iterable[GivenRow]
    ) -> None:
        """Record chunks, and what is saved with them. The same again changes nothing."""
        with self.transaction():
            for chunk in chunks:
                self._put("chunks", (*astuple(chunk), None))
            for snapshot in snapshots:
                self._put("snapshots", (*astuple(snapshot), None))
            for pictures in given:
                self._put("given", astuple(pictures))

    def _put(self, table: str, values: Sequence[Any]) -> None:
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)

    def add_cue(self, cue: Cue, *, steered: bool = True) -> None:
        """Record a direction."""
        with self.transaction():
            self._add_cue(cue, steered)

    def _add_cue(self, cue: Cue, steered: bool, id: int | None = None) -> None:
        text = json.dumps(cue.to_dict(), ensure_ascii=False)
        self._connection.execute("INSERT INTO cues (id, cue, steered) VALUES (?, ?, ?)", (id, text, steered))

    def add_event(self, kind: str, text: str = "") -> None:
        """Record what happened."""
        with self.transaction():
            self._event(kind, text)

    def _event(self, kind: str, text: str) -> int:
        values = (kind, time.time(), text)
        added = self._connection.execute("INSERT INTO events (kind, time, text) VALUES (?, ?, ?)", values)
        assert added.lastrowid is not None
        return added.lastrowid

    def cut(self, number: int, kind: str, text: str) -> int:
        """Drop the chunks from `number` on, and the snapshots that know of them; returns the event's number."""
        before = self.chunk(number - 1)
        made = 0 if before is None else before.chunk + 1
        with self.transaction():
            event = self._event(kind, text)
            self._connection.execute(
                "UPDATE chunks SET dropped = ? WHERE dropped IS NULL AND number >= ?", (event, number)
            )
            self._connection.execute(
                "UPDATE snapshots SET dropped = ? WHERE dropped IS NULL AND (number > ? OR made > ?)",
                (event, number, made),
            )
        return event

    def drop_cues(self, ids: Sequence[int], event: int) -> None:
        """Directions that no longer count."""
        with self.transaction():
            self._connection.executemany(
                "UPDATE cues SET dropped = ? WHERE id = ?", [(event, id) for id in ids]
            )

    def expire(self, chunks: Sequence[ChunkRow], snapshots: Sequence[SnapshotRow], text: str) -> None:
        """Say that the files of these go; they are removed afterwards."""
        with self.transaction():
            event = self._event("expired", text)
            self._connection.executemany(
                "UPDATE chunks SET expired = 1 WHERE id = ?", [(row.id,) for row in chunks]
            )
            self._connection.executemany(
                "UPDATE snapshots SET dropped = ? WHERE id = ?", [(event, row.id) for row in snapshots]
            )

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._connection.close()


def _make_durable(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def commit(connection: sqlite3.Connection) -> None:
    """The moment at which what a transaction says becomes true."""
    connection.execute("COMMIT")


def _chunk(row: Sequence[Any]) -> ChunkRow:
    values = dict(zip(_CHUNK.split(", "), row, strict=True))
    return ChunkRow(**values | {"expired": bool(values["expired"])})
