"""The process ends at every single write of a short take: what was announced is there, the rest is made the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtake import Pipeline
from longtake.journal import Library, disk, founding, store
from longtake.journal.files import latents_file, segment_file, snapshot_file
from longtake.snapshot import Snapshot
from tests.journal.takes import OTHER, as_a_kill_leaves_it, begin, contents, made, video

STEERS = {1: OTHER}


class Killed(BaseException):
    """Stands for the end of the process."""


class Fault:
    """Counts what changes the disk; at number `at` half of it is done, the disk is copied, and the process ends."""

    def __init__(self, home: Path, copy: Path, at: int) -> None:
        self.home, self.copy, self.at, self.count = home, copy, at, 0

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._wrap(
            monkeypatch, disk, "write", torn=lambda path, data: path.write_bytes(data[: len(data) // 2])
        )
        self._wrap(monkeypatch, disk, "sync")
        self._wrap(monkeypatch, store, "commit")
        self._wrap(monkeypatch, founding.os, "rename")
        self._wrap(monkeypatch, Snapshot, "save", torn=lambda snapshot, path: path.write_bytes(b"half"))

    def _wrap(
        self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, torn: Callable[..., Any] | None = None
    ) -> None:
        real = getattr(owner, name)

        def counted(*args: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                if torn is not None:
                    torn(*args)
                if self.home.exists():
                    as_a_kill_leaves_it(self.home, self.copy)
                raise Killed
            return real(*args)

        monkeypatch.setattr(owner, name, counted)


def killed_at(number: int, home: Path, copy: Path, pipe: Pipeline) -> tuple[list[int], bool] | None:
    """Begin a take that ends at its n-th write; returns the chunks it announced and whether it accepted a direction."""
    announced: list[int] = []
    accepted, take = False, None
    fault = Fault(home, copy, number)
    with pytest.MonkeyPatch.context() as monkeypatch:
        fault.patch(monkeypatch)
        try:
            take = begin(Library(home), pipe)
            for one in take:
                announced.append(one.index)
                if one.index == 0:
                    take.steer(OTHER)
                    accepted = True
        except Killed:
            return announced, accepted
        finally:
            if take is not None:
                take.close()
    return None


def test_after_a_kill_at_any_write_the_take_becomes_what_it_would_have_been(
    pipe: Pipeline, tmp_path: Path
) -> None:
    home = tmp_path / "unbroken"
    with begin(Library(home), pipe) as take:
        made(take, STEERS)
    expected, file = contents(home, take.id), video(home, take.id, tmp_path)
    assert sum(row[1] == 5 for row in expected) == 1
    for number in range(1, 1000):
        home, copy = tmp_path / f"home{number}", tmp_path / f"copy{number}"
        ended = killed_at(number, home, copy, pipe)
        if ended is None:
            break
        announced, accepted = ended
        library = Library(copy)
        takes = library.list()
        if not takes:
            assert not announced, f"write {number}: a take that announced chunks is lost"
            continue
        there = [segment.index for segment in library.media(takes[0].id).segments()]
        assert there[: len(announced)] == announced, f"write {number}: an announced chunk is lost"
        assert len(takes[0].cues) > 1 or not accepted, f"write {number}: an accepted direction is lost"
        made(library.resume(takes[0].id, pipe), STEERS)
        assert contents(copy, takes[0].id) == expected, f"write {number}"
        assert video(copy, takes[0].id, tmp_path) == file, f"write {number}"
    assert number > 25, "the writes of four chunks were not counted"


def test_a_row_is_committed_after_its_files_are_on_the_disk(
    pipe: Pipeline, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the calls: a power cut between them cannot be played."""
    done: list[tuple[str, object]] = []
    for owner, name in ((disk, "write"), (disk, "sync"), (store, "commit")):
        real = getattr(owner, name)

        def noted(*args: Any, real: Callable[..., Any] = real, name: str = name) -> Any:
            done.append((name, args[0]))
            return real(*args)

        monkeypatch.setattr(owner, name, noted)
    with begin(library, pipe) as take:
        next(take)
        done.clear()
        next(take)
    folder = library.home / take.id
    files = [latents_file(folder, 1), segment_file(folder, 1)]
    first, second, chunks, snapshot, snapshots, commit = done
    assert [first, second, chunks] == [("write", files[0]), ("write", files[1]), ("sync", folder / "chunks")]
    assert [snapshot, snapshots] == [("sync", snapshot_file(folder, 1)), ("sync", folder / "snapshots")]
    assert commit[0] == "commit"
