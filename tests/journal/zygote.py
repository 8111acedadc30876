"""Work that tests kill, in processes that fork from one that has imported everything already."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import torch

from longtake.cli.filming import into
from longtake.journal import Library, scribe
from longtake.journal.output import continue_file
from longtake.media import FragmentedMp4Writer, VideoFormat
from tests.journal.takes import OTHER, begin
from tests.tiny import tiny_pipeline

torch.set_num_threads(1)
scribe.LEAST_INTERVAL = 3
PIPE = tiny_pipeline()
FORM = VideoFormat(width=32, height=16, fps=8)
FRAMES = 85


def make(folder: Path, announce: Connection | None = None) -> None:
    """Make a take and its file; tell the number of every chunk that is announced."""
    out = folder / "take.mp4"
    with (
        FragmentedMp4Writer(out, FORM) as writer,
        begin(Library(folder / "takes"), PIPE, num_frames=FRAMES, out=out) as take,
    ):
        for one in take:
            into(writer, take, one)
            if announce is not None:
                announce.send(one.index)
            if one.index == 2:
                take.steer(OTHER)


def finish(folder: Path) -> None:
    """Go on with the take, and finish its file."""
    library = Library(folder / "takes")
    (record,) = library.list()
    assert record.out is not None
    with library.resume(record.id, PIPE) as take:
        if take.chunks <= 3 and len(library.get(record.id).cues) == 1:
            _steer_after_the_third(library, take)
        with library.media(record.id) as media, continue_file(Path(record.out), media) as writer:
            for one in take:
                into(writer, take, one)


def _steer_after_the_third(library, take) -> None:  # type: ignore[no-untyped-def]
    while take.chunks < 3:
        next(take)
    take.steer(OTHER)
