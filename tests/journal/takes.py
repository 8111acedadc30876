"""Short takes of a tiny model, and everything that is recorded of one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from longtake import Pipeline, Timeline
from longtake.journal import Library, RecordedTake
from longtake.journal.files import latents_file
from longtake.journal.store import Store

PROMPT, OTHER = "a red sphere rolls", "a blue cube"
SEED = 3
FRAMES = 29  # of four chunks: 5 and three times 8


def begin(library: Library, pipe: Pipeline, **given: object) -> RecordedTake:
    """A take of four chunks, unless told otherwise."""
    values = {"seed": SEED, "num_frames": FRAMES} | given
    return library.create(pipe, Timeline.from_prompt(PROMPT), **values)  # type: ignore[arg-type]


def made(take: RecordedTake, steers: dict[int, str] | None = None) -> None:
    """Make a take to its end; after so many chunks, unless it has been told before, it is told another prompt."""
    told = {cue.at_chunk for cue in _cues(take)}
    with take:
        if take.chunks in (steers or {}) and take.chunks not in told:
            take.steer((steers or {})[take.chunks])
        for one in take:
            if (prompt := (steers or {}).get(one.index + 1)) and one.index + 1 not in told:
                take.steer(prompt)


def _cues(take: RecordedTake) -> Sequence:  # type: ignore[type-arg]
    with closing(Store(take._store.folder)) as store:
        return [row.cue for row in store.cues()]


def contents(home: Path, id: str) -> list[tuple[object, ...]]:
    """All that a take is, chunk by chunk: digests as recorded, latents and segment as they lie on the disk."""
    with closing(Store(home / id)) as store, Library(home).media(id) as media:
        return [
            (
                row.number,
                row.start_frame,
                row.frames_digest,
                row.receipts,
                latents_file(store.folder, row.id).read_bytes(),
                media.read(row.number),
            )
            for row in store.chunks()
        ]


def video(home: Path, id: str, folder: Path) -> bytes:
    """The exported file."""
    return Library(home).export(id, folder / "export.mp4", force=True).read_bytes()


def as_a_kill_leaves_it(home: Path, copy: Path) -> Path:
    """The files as they are at this moment, and nothing of the process that was writing them."""
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(home, copy)
