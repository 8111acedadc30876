"""What is damaged is cut back to the last good chunk, and made again."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from longtake import Pipeline, UserError
from longtake.journal import Library, Status, disk, store
from longtake.journal.files import latents_file, segment_file, snapshot_file
from tests.journal.takes import FRAMES, OTHER, as_a_kill_leaves_it, begin, contents, made

STEERS = {2: OTHER}


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut_off, Path.unlink, flip], ids=["cut off", "missing", "flipped"])
@pytest.mark.parametrize(("file", "chunk"), [(segment_file, 3), (latents_file, 3), (segment_file, 1)])
def test_a_take_is_cut_back_to_its_last_good_chunk(
    pipe: Pipeline, library: Library, damage: Callable[[Path], None], file: Callable[..., Path], chunk: int
) -> None:
    take = begin(library, pipe)
    made(take, STEERS)
    expected = contents(library.home, take.id)
    if damage is flip and file is latents_file:
        damage = cut_off  # a flipped bit of latents is found by replay
    damage(file(library.home / take.id, chunk))
    assert library.get(take.id).status is (Status.DAMAGED if chunk == 3 else Status.FINISHED)
    with library.resume(take.id, pipe) as again:
        assert f"chunk {chunk} is damaged" in again.notes[0]
        made(again)
    assert contents(library.home, take.id) == expected
    assert "damaged" in library.get(take.id).notes[0]


@pytest.mark.parametrize("damage", [cut_off, Path.unlink])
def test_a_snapshot_that_cannot_be_read_is_not_needed(
    pipe: Pipeline, library: Library, damage: Callable[[Path], None]
) -> None:
    whole, broken = begin(library, pipe), begin(library, pipe)
    made(whole)
    with broken:
        next(broken), next(broken), next(broken)
    damage(snapshot_file(library.home / broken.id, 1))
    made(library.resume(broken.id, pipe))
    assert contents(library.home, broken.id) == contents(library.home, whole.id)


def test_rows_that_were_torn_off_are_made_again(pipe: Pipeline, library: Library, tmp_path: Path) -> None:
    with begin(library, pipe) as take:
        made_before = [next(take), next(take)]
        copy = as_a_kill_leaves_it(library.home, tmp_path / "copy")
        made(take)
    wal = copy / take.id / "journal.db-wal"
    os.truncate(wal, wal.stat().st_size - 100)
    torn = Library(copy)
    with torn.resume(take.id, pipe) as again:
        assert again.chunks == len(made_before) - 1
        made(again)
    assert contents(copy, take.id) == contents(library.home, take.id)


def test_a_take_whose_journal_is_no_journal_is_listed_and_refused(pipe: Pipeline, library: Library) -> None:
    with begin(library, pipe) as take:
        next(take)
    (library.home / take.id / "journal.db").write_bytes(b"not a database at all" * 100)
    (record,) = library.list()
    assert record.status is Status.DAMAGED
    with pytest.raises(UserError, match=r"journal\.db is damaged"):
        library.resume(take.id, pipe)
    library.delete(take.id)
    assert library.list() == []


def test_a_full_disk_loses_nothing_and_the_same_take_goes_on(
    pipe: Pipeline, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, take = begin(library, pipe), begin(library, pipe)
    made(whole)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_database(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with take:
        next(take)
        for owner, name, failing in ((disk, "write", full), (store, "commit", full_database)):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, failing)
                with pytest.raises(UserError, match="its first 1 chunks are safe"):
                    next(take)
                if failing is full_database:
                    with pytest.raises(UserError, match="full"):
                        take.steer(OTHER)
        assert next(take).index == 1
        made(take)
    assert contents(library.home, take.id) == contents(library.home, whole.id)
    assert library.get(take.id).frames == FRAMES


def test_a_folder_that_cannot_be_written_is_refused_by_name(pipe: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"no take can be recorded in .*file/takes: Not a directory"):
        begin(Library(tmp_path / "file" / "takes"), pipe)
