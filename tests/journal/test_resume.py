"""Going on with a take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtake import Cue, Pipeline, Settings, Timeline, UserError
from longtake.journal import Library, Status, fingerprint
from tests.journal.takes import FRAMES, OTHER, PROMPT, SEED, begin, contents, made, video
from tests.methods.kinds import KINDS
from tests.tiny import tiny_pipeline

STEERS = {2: OTHER}


@pytest.fixture(params=[name for name in KINDS if "window" not in name and name != "joint"])
def any_pipe(request: pytest.FixtureRequest) -> Pipeline:
    """Every way of making long video that can be resumed."""
    return tiny_pipeline(**KINDS[request.param])


def test_a_resumed_take_is_the_unbroken_one(any_pipe: Pipeline, library: Library) -> None:
    whole, broken = begin(library, any_pipe), begin(library, any_pipe)
    made(whole, STEERS)
    with broken:
        for one in broken:
            if one.index == 1:
                broken.steer(OTHER)
            if one.index == 3:
                break
    made(library.resume(broken.id, any_pipe), STEERS)
    assert contents(library.home, broken.id) == contents(library.home, whole.id)
    assert library.replay(broken.id, any_pipe).difference is None


@pytest.mark.parametrize("beside", [False, True])
def test_resuming_does_not_depend_on_where_chunks_are_decoded(
    pipe: Pipeline, library: Library, beside: bool
) -> None:
    whole, broken = begin(library, pipe), begin(library, pipe, decode_beside=beside)
    made(whole)
    with broken:
        next(broken), next(broken), next(broken)
    made(library.resume(broken.id, pipe, decode_beside=not beside))
    assert contents(library.home, broken.id) == contents(library.home, whole.id)


def test_a_direction_that_was_accepted_survives_though_nothing_was_made_under_it(
    pipe: Pipeline, library: Library
) -> None:
    whole, broken = begin(library, pipe), begin(library, pipe)
    made(whole, STEERS)
    with broken:
        next(broken), next(broken)
        assert broken.steer(OTHER).first_chunk == 2
    made(library.resume(broken.id, pipe))
    assert contents(library.home, broken.id) == contents(library.home, whole.id)


def test_one_process_owns_a_take(pipe: Pipeline, library: Library) -> None:
    with begin(library, pipe) as take:
        with pytest.raises(UserError, match=f"{take.id} is being made by process [1-9]"):
            library.resume(take.id, pipe)
        assert library.get(take.id).status is Status.RUNNING
        with pytest.raises(UserError, match="is being made"):
            library.delete(take.id)
    assert library.get(take.id).status is Status.STOPPED
    with library.resume(take.id, pipe):
        pass


def test_a_finished_take_yields_nothing_more(pipe: Pipeline, library: Library) -> None:
    take = begin(library, pipe)
    made(take)
    assert library.get(take.id).status is Status.FINISHED
    with library.resume(take.id, pipe) as again:
        assert list(again) == []
        with pytest.raises(UserError, match="is over"):
            again.steer(OTHER)


def test_another_model_is_refused(pipe: Pipeline, library: Library) -> None:
    with begin(library, pipe) as take:
        next(take)
    other = tiny_pipeline()
    other.preset = other.preset.model_copy(update={"name": "other"})
    with pytest.raises(UserError, match="'tiny', this is 'other'"):
        library.resume(take.id, other)
    with pytest.raises(UserError, match="'tiny', this is 'other'"):
        library.replay(take.id, other)


def test_another_build_goes_on_and_says_from_where_it_may_differ(
    pipe: Pipeline, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begin(library, pipe) as take:
        next(take), next(take)
    monkeypatch.setattr(fingerprint, "__version__", "9.9")
    with library.resume(take.id, pipe) as again:
        assert "longtake 0.1.0 → 9.9" in again.notes[0]
        assert "from chunk 2 on" in again.notes[0]
        made(again)
    assert library.get(take.id).frames == FRAMES
    assert "9.9" in library.get(take.id).notes[0]


def test_other_weights_are_another_build_and_the_difference_is_seen(pipe: Pipeline, library: Library) -> None:
    with begin(library, pipe) as take:
        next(take)
    other = tiny_pipeline(first_frame="prefix")
    other.backbone.proj_out.bias.data += 0.1
    with library.resume(take.id, other) as again:
        assert "weights" in again.notes[0]
        assert "makes chunk 0 otherwise" in again.notes[1]
    report = library.replay(take.id, other)
    assert (report.difference.index, report.difference.what) == (0, "latents")  # type: ignore[union-attr]
    assert report.other_build == "weights"


def test_a_joint_method_is_recorded_and_not_resumed_in_mid_course(library: Library, tmp_path: Path) -> None:
    pipe = tiny_pipeline(**KINDS["joint"])
    take = begin(library, pipe, num_frames=9)
    with pytest.raises(UserError, match="cannot be steered"):
        take.steer(OTHER)
    take.close()
    with pytest.raises(UserError, match=f"again with seed {SEED}"):
        library.resume(take.id, pipe)
    whole = begin(library, pipe, num_frames=9)
    made(whole)
    assert len(video(library.home, whole.id, tmp_path)) > 500
    for turn in (
        lambda: library.branch(whole.id, 0, OTHER, pipe),
        lambda: library.resume(whole.id, pipe).rewind(0),
    ):
        with pytest.raises(UserError, match="whole video at once"):
            turn()


def test_pausing_holds_before_the_next_chunk(pipe: Pipeline, library: Library) -> None:
    import threading

    with begin(library, pipe) as take:
        next(take)
        take.pause()
        done = threading.Event()
        thread = threading.Thread(target=lambda: (next(take), done.set()))
        thread.start()
        assert not done.wait(0.2)
        assert take.rewind(0.0) == 0.0  # a paused take can be turned
        take.resume()
        assert done.wait(30)
        thread.join()
        assert take.chunks == 1


def test_settings_and_a_timeline_of_every_kind_of_cue_come_back(pipe: Pipeline, library: Library) -> None:
    timeline = Timeline(
        cues=(
            Cue(prompt=PROMPT, at=0),
            Cue(prompt=OTHER, at=0.7, transition=1.5),
            Cue(prompt="a cube", at_chunk=3),
        )
    )
    settings = Settings(width=64, num_inference_steps=3)
    takes = [
        library.create(pipe, timeline, seed=SEED, num_frames=FRAMES, settings=settings) for _ in range(2)
    ]
    made(takes[0])
    with takes[1] as broken:
        next(broken), next(broken), next(broken)
    made(library.resume(broken.id, pipe))
    whole, resumed = (contents(library.home, take.id) for take in takes)
    assert whole == resumed
    assert library.get(broken.id).width == 64
    assert np.array_equal([row[1] for row in whole], [0, 5, 13, 21])


def test_the_record_says_what_made_it(pipe: Pipeline, library: Library) -> None:
    take = begin(library, pipe)
    made(take, STEERS)
    record = library.get(take.id[:9])
    assert (record.id, record.model, record.seed, record.prompt) == (take.id, "tiny", SEED, PROMPT)
    assert [cue.at_chunk for cue in record.cues] == [None, 2]
    assert record.fingerprint["dtype"] == str(pipe.backbone.dtype).removeprefix("torch.")
    assert record.size > 10_000
    assert record.unreplayable is None
