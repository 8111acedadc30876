"""A take that goes on from a clip is as durable as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longtake import Pipeline
from longtake.journal import Library, SourceKind
from longtake.journal.files import clip_file
from tests.journal.takes import FRAMES, begin, contents, made

CLIP = np.random.default_rng(4).integers(0, 255, (40, 16, 32, 3), np.uint8)


def test_it_is_resumed_branched_and_made_again_to_the_byte(
    pipe: Pipeline, library: Library, tmp_path: Path
) -> None:
    whole = begin(library, pipe, clip=CLIP, num_frames=FRAMES + 24)
    made(whole)
    broken = begin(library, pipe, clip=CLIP, num_frames=FRAMES + 24)
    with broken:
        for _ in range(2):
            next(broken)
    with library.resume(broken.id, pipe) as again:
        for _ in again:
            pass
    assert contents(library.home, broken.id) == contents(library.home, whole.id)
    record = library.get(whole.id)
    assert (record.source, record.unreplayable) == (SourceKind.CLIP, None)
    assert library.replay(whole.id, pipe).difference is None
    with library.branch(whole.id, 3.0, "a blue cube", pipe) as branch:
        next(branch)
    library.delete(whole.id)
    assert library.replay(branch.id, pipe).difference is None
    clip_file(library.home / branch.id).unlink()
    assert library.get(branch.id).unreplayable == "the clip that it goes on from is gone"
