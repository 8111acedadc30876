"""A take is made again from its record alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake import Pipeline, UserError
from longtake.journal import Library
from longtake.journal.files import given_file, image_file, latents_file, segment_file
from longtake.media import FragmentedMp4Writer, VideoFormat
from tests.journal.takes import FRAMES, begin, contents, made
from tests.methods.kinds import KINDS
from tests.tiny import tiny_pipeline

IMAGE = np.random.default_rng(1).integers(0, 255, (20, 50, 3), np.uint8)
VIDEO = np.random.default_rng(2).integers(0, 255, (FRAMES, 16, 32, 3), np.uint8)


def test_a_take_with_twenty_directions_is_made_again_to_the_byte(pipe: Pipeline, library: Library) -> None:
    prompts = [f"a {colour} {shape} {'rolls' * (index % 3 == 0)}" for index in range(5)
               for colour in ("red", "blue") for shape in ("sphere", "cube")]  # fmt: skip
    with begin(library, pipe, num_frames=5 + 8 * 21) as take:
        for one in take:
            if one.index < 20:
                take.steer(prompts[one.index], transition=(one.index % 4) * 0.8)
    assert len(library.get(take.id).cues) == 21
    seen = []
    report = library.replay(take.id, pipe, on_segment=lambda number, segment: seen.append(segment))
    assert (report.difference, report.chunks, report.frames) == (None, 22, 173)
    with library.media(take.id) as media:
        assert seen == [media.read(index) for index in range(22)]


def test_it_goes_on_and_is_made_again_by_as_many_threads(
    pipe: Pipeline, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = torch.get_num_threads()
    monkeypatch.setattr(os, "cpu_count", lambda: own + 1)
    torch.set_num_threads(own + 1)
    try:
        with begin(library, pipe) as take:
            next(take)
    finally:
        torch.set_num_threads(own)
    counts = set[int]()
    with library.resume(take.id, pipe, observers=[lambda _: counts.add(torch.get_num_threads())]) as again:
        made(again)
    report = library.replay(take.id, pipe, on_segment=lambda *_: counts.add(torch.get_num_threads()))
    assert (counts, torch.get_num_threads()) == ({own + 1}, own)
    assert (again.notes, report.other_build) == ((), "")


@pytest.mark.parametrize("file", [latents_file, segment_file])
def test_a_changed_file_is_named(pipe: Pipeline, library: Library, file) -> None:  # type: ignore[no-untyped-def]
    take = begin(library, pipe)
    made(take)
    path = file(library.home / take.id, 2)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    report = library.replay(take.id, pipe)
    assert report.difference is not None
    assert (report.difference.index, report.frames) == (2, 13)
    assert report.difference.what == ("latents on disk" if file is latents_file else "segment on disk")


@pytest.mark.parametrize(
    ("column", "what"),
    [("frames_digest", "frames"), ("segment_digest", "segment"), ("receipts", "receipts")],
)
def test_a_record_that_says_otherwise_is_named(
    pipe: Pipeline, library: Library, column: str, what: str
) -> None:
    import sqlite3

    take = begin(library, pipe)
    made(take)
    with sqlite3.connect(library.home / take.id / "journal.db") as connection:
        connection.execute(f"UPDATE chunks SET {column} = 'other' WHERE number = 1")
    report = library.replay(take.id, pipe)
    assert report.difference is not None
    assert (report.difference.index, report.difference.what) == (1, what)


def test_a_take_from_an_image_is_made_again_without_the_file(library: Library, tmp_path: Path) -> None:
    from PIL import Image

    pipe, path = tiny_pipeline(first_frame="prefix"), tmp_path / "start.png"
    Image.fromarray(IMAGE).save(path)
    whole, broken = begin(library, pipe, image=path), begin(library, pipe, image=path)
    made(whole)
    path.unlink()
    with broken:
        next(broken)
    made(library.resume(broken.id, pipe))
    assert contents(library.home, broken.id) == contents(library.home, whole.id)
    assert library.replay(broken.id, pipe).difference is None
    image_file(library.home / broken.id).unlink()
    assert library.get(broken.id).unreplayable == "the picture that it begins with is gone"
    with pytest.raises(UserError, match="cannot be replayed: the picture"):
        library.replay(broken.id, pipe)


@pytest.mark.parametrize("kind", ["causal", "stream-batch"])
def test_a_take_from_a_live_video_is_made_again_from_what_was_seen(library: Library, kind: str) -> None:
    pipe = tiny_pipeline(**KINDS[kind])
    whole = begin(library, pipe, video=iter(VIDEO), num_frames=None)
    made(whole)
    assert library.get(whole.id).frames == FRAMES
    live = iter(VIDEO)
    with begin(library, pipe, video=live, num_frames=None) as broken:
        next(broken), next(broken), next(broken)
    made(library.resume(broken.id, pipe, video=live))
    assert contents(library.home, broken.id) == contents(library.home, whole.id)
    assert library.replay(broken.id, pipe).difference is None
    with library.resume(broken.id, pipe) as again:
        again.rewind(1.7)
        made(again)
    assert contents(library.home, broken.id) == contents(library.home, whole.id)
    given_file(library.home / broken.id, 0).unlink()
    with pytest.raises(UserError, match="cannot be replayed: picture 0 of the video"):
        library.replay(broken.id, pipe)


def test_a_take_from_a_video_file_needs_the_file_only_to_go_on(library: Library, tmp_path: Path) -> None:
    pipe, path = tiny_pipeline(), tmp_path / "source.mp4"
    with FragmentedMp4Writer(path, VideoFormat(width=48, height=32, fps=8)) as writer:
        writer.write(np.random.default_rng(3).integers(0, 255, (FRAMES, 32, 48, 3), np.uint8))
    whole, broken = (begin(library, pipe, video=path, num_frames=None) for _ in range(2))
    made(whole)
    with broken:
        next(broken), next(broken)
    moved = path.rename(tmp_path / "moved.mp4")
    assert library.replay(broken.id, pipe).difference is None
    with (
        library.resume(broken.id, pipe) as again,
        pytest.raises(UserError, match=r"source\.mp4 cannot be read"),
    ):
        list(again)
    moved.rename(path)
    made(library.resume(broken.id, pipe))
    assert contents(library.home, broken.id) == contents(library.home, whole.id)
    with begin(library, pipe, video=path, num_frames=None) as changed:
        next(changed)
    os.utime(path, ns=(1, 1))
    with library.resume(changed.id, pipe) as again, pytest.raises(UserError, match="has changed since"):
        list(again)
