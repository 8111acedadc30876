"""What takes need on disk is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtake import Pipeline, UserError
from longtake.journal import Library, retention
from tests.journal.takes import FRAMES, OTHER, begin, made, video

LONG = 117  # fifteen chunks
LIMIT = 35_000


def kept_bytes(library: Library) -> int:
    from longtake.journal.store import Store

    return sum(Store(library.home / record.id).kept_bytes() for record in library.list())


def test_the_oldest_media_go_and_the_take_goes_on_to_the_same_bytes(
    pipe: Pipeline, home: Path, tmp_path: Path
) -> None:
    free, bounded = Library(home), Library(tmp_path / "bounded", retention_bytes=LIMIT)
    whole, take = begin(free, pipe, num_frames=LONG), begin(bounded, pipe, num_frames=LONG)
    made(whole)
    with take:
        for _ in range(11):
            next(take)
    made(bounded.resume(take.id, pipe))
    assert kept_bytes(free) > 3 * LIMIT
    assert kept_bytes(bounded) < LIMIT * 1.1
    record = bounded.get(take.id)
    assert 0 < record.kept_from < LONG
    assert any("went to make room" in note for note in record.notes)
    with free.media(whole.id) as one, bounded.media(take.id) as other:
        segments = other.segments()
        assert [segment.kept for segment in segments] == sorted(segment.kept for segment in segments)
        for segment in segments:
            if segment.kept:
                assert one.read(segment.index) == other.read(segment.index)
            else:
                with pytest.raises(UserError, match="went to make room"):
                    other.read(segment.index)
    with pytest.raises(UserError, match="went to make room"):
        video(bounded.home, take.id, tmp_path)
    assert bounded.replay(take.id, pipe).difference is None


def test_a_rewind_is_limited_to_what_is_kept(pipe: Pipeline, tmp_path: Path) -> None:
    library = Library(tmp_path / "takes", retention_bytes=LIMIT)
    with begin(library, pipe, num_frames=LONG) as take:
        made(take)
    kept_from = library.get(take.id).kept_from / 8
    with library.resume(take.id, pipe) as again:
        with pytest.raises(UserError, match=f"is kept from {kept_from:g} s on"):
            again.rewind(kept_from - 1)
        assert again.rewind(kept_from + 1, OTHER) == kept_from + 1
        made(again)
    with pytest.raises(UserError, match=f"is kept from {kept_from:g} s on"):
        library.branch(take.id, kept_from - 1, OTHER, pipe)
    assert library.replay(take.id, pipe).difference is None


def test_takes_that_rest_give_room_first_and_can_be_replayed(pipe: Pipeline, tmp_path: Path) -> None:
    library = Library(tmp_path / "takes", retention_bytes=40_000)
    old, running = begin(library, pipe), begin(library, pipe)
    made(old)
    with running:
        made(running)
    assert library.get(old.id).kept_from > 0
    assert library.get(running.id).frames == FRAMES
    assert library.replay(old.id, pipe).frames == FRAMES
    with library.branch(old.id, FRAMES / 8, OTHER, pipe, num_frames=40) as branch:
        made(branch)
    assert library.replay(branch.id, pipe).frames == 40


@pytest.mark.parametrize(
    ("text", "bytes"), [("500", 500), ("2k", 2048), ("1.5GiB", 3 * 2**29), ("1 TB", 2**40)]
)
def test_sizes_are_read(text: str, bytes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(retention.VARIABLE, text)
    assert Library(tmp_path).retention_bytes == bytes


def test_what_is_no_size_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(retention.VARIABLE, "much")
    with pytest.raises(UserError, match="LONGTAKE_RETENTION 'much' is not a size"):
        Library(tmp_path)
