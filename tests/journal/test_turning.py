"""Rewinding a take, and branching from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtake import Cue, Pipeline, Timeline, UserError
from longtake.journal import Library
from longtake.media import read_video
from tests.journal.takes import FRAMES, OTHER, PROMPT, SEED, begin, contents, made, video
from tests.methods.kinds import KINDS
from tests.tiny import tiny_pipeline

THIRD = "a red cube"


@pytest.mark.parametrize("kind", ["causal", "recached", "rolling", "overlap"])
@pytest.mark.parametrize("at", [0.0, 13 / 8, FRAMES / 8])
def test_a_branch_has_its_parents_beginning_and_is_its_own_take(
    library: Library, kind: str, at: float
) -> None:
    pipe = tiny_pipeline(**KINDS[kind])
    parent = begin(library, pipe)
    made(parent)
    with library.branch(parent.id, at, OTHER, pipe, num_frames=45) as take:
        assert library.get(take.id).branched_at == at
        made(take)
    old, new = contents(library.home, parent.id), contents(library.home, take.id)
    shared = sum((row[1] + 1) / 8 <= at for row in old) - (at == FRAMES / 8)
    assert new[:shared] == old[:shared]
    assert new[shared + (at == FRAMES / 8)][4:] != old[min(shared, len(old) - 1)][4:]
    assert library.get(take.id).frames == 45
    assert library.get(take.id).parent == parent.id
    assert library.replay(take.id, pipe).difference is None
    library.delete(parent.id)
    assert library.replay(take.id, pipe).difference is None


def test_a_branch_without_a_prompt_is_the_parent_going_on(pipe: Pipeline, library: Library) -> None:
    parent, longer = begin(library, pipe), begin(library, pipe, num_frames=45)
    made(parent, {2: OTHER})
    made(longer, {2: OTHER})
    branch = library.branch(parent.id, FRAMES / 8, None, pipe, num_frames=45)
    made(branch)
    assert contents(library.home, branch.id) == contents(library.home, longer.id)


def test_a_branch_leaves_at_a_chunk_and_drops_the_cues_to_come(pipe: Pipeline, library: Library) -> None:
    cues = (Cue(prompt=PROMPT, at=0), Cue(prompt=OTHER, at=0.5), Cue(prompt=THIRD, at=3))
    parent = library.create(pipe, Timeline(cues=cues), seed=SEED, num_frames=FRAMES)
    made(parent)
    with library.branch(parent.id, 2.0, "a blue sphere", pipe) as take:
        record = library.get(take.id)
    assert record.branched_at == 13 / 8
    assert [(cue.prompt, cue.at_chunk) for cue in record.cues] == [
        *((PROMPT, None), (OTHER, None)),
        ("a blue sphere", 2),
    ]
    with library.branch(parent.id, 2.0, None, pipe) as take:
        assert library.get(take.id).cues == cues


def test_a_branch_of_a_running_take_does_not_disturb_it(pipe: Pipeline, library: Library) -> None:
    whole, parent = begin(library, pipe), begin(library, pipe)
    made(whole)
    with parent:
        next(parent), next(parent), next(parent)
        made(library.branch(parent.id, 1.7, OTHER, pipe))
        made(parent)
    assert contents(library.home, parent.id) == contents(library.home, whole.id)


@pytest.mark.parametrize("beside", [False, True])
def test_a_rewound_take_goes_on_as_if_it_had_never_been_there(
    pipe: Pipeline, library: Library, beside: bool
) -> None:
    plain = begin(library, pipe)
    made(plain, {2: THIRD})
    with begin(library, pipe, decode_beside=beside) as take:
        next(take), next(take), next(take)
        take.steer(OTHER)
        next(take)
        assert take.rewind(1.8, THIRD) == 13 / 8
        assert take.chunks == 2
        made(take)
    assert contents(library.home, take.id) == contents(library.home, plain.id)
    assert library.replay(take.id, pipe).difference is None
    assert library.get(take.id).notes == ("rewound: to 1.625 s, chunk 2",)


def test_a_rewind_survives_a_stop_and_turns_a_finished_take(pipe: Pipeline, library: Library) -> None:
    plain, take = begin(library, pipe), begin(library, pipe)
    made(plain)
    made(take)
    with library.resume(take.id, pipe) as again:
        again.rewind(0.7)
        next(again)
    made(library.resume(take.id, pipe))
    assert contents(library.home, take.id) == contents(library.home, plain.id)


def test_times_outside_the_take_are_refused(pipe: Pipeline, library: Library) -> None:
    with begin(library, pipe) as take:
        next(take)
        for turn in (lambda: take.rewind(1.5), lambda: library.branch(take.id, -1, OTHER, pipe)):
            with pytest.raises(UserError, match=r"is not in this take, which has 0\.625 s"):
                turn()
        with pytest.raises(UserError, match="says nothing"):
            take.rewind(0.5, " ")
        assert take.chunks == 1
        assert next(take).index == 1


def test_the_exported_file_is_the_take(pipe: Pipeline, library: Library, tmp_path: Path) -> None:
    take = begin(library, pipe)
    made(take)
    video(library.home, take.id, tmp_path)
    assert len(read_video(tmp_path / "export.mp4")[0]) == FRAMES
    with pytest.raises(UserError, match="exists"):
        library.export(take.id, tmp_path / "export.mp4")


def test_ids_are_found_by_their_beginning(pipe: Pipeline, library: Library) -> None:
    ids = []
    for _ in range(2):
        with begin(library, pipe) as take:
            ids.append(take.id)
    assert [record.id for record in library.list()] == ids[::-1]
    assert library.get(ids[0][:20].upper()).id == ids[0]
    for id in ("", "nope", "../" + ids[0], ids[0] + "0"):
        with pytest.raises(UserError, match="no take"):
            library.get(id)
    same = library.home / (ids[0][:-1] + ("0" if ids[0][-1] != "0" else "1"))
    same.mkdir()
    with pytest.raises(UserError, match="2 takes begin with"):
        library.get(ids[0][:-1])
