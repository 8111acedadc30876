"""Which prompt is in force when, and what the receipts say."""

from __future__ import annotations

import json

import pytest

from longtake.director import Director
from longtake.errors import UserError
from longtake.timeline import Cue, ReceiptStatus

CHUNK = 1.5


def run(director: Director, chunks: range):  # type: ignore[no-untyped-def]
    return [director.decide(i, i * CHUNK, (i + 1) * CHUNK) for i in chunks]


def test_a_cue_applies_at_the_first_chunk_that_starts_at_or_after_it() -> None:
    director = Director([Cue(prompt="a", at=0), Cue(prompt="b", at=4)])
    decisions = run(director, range(5))
    assert [d.mix[0][0] for d in decisions] == ["a", "a", "a", "b", "b"]
    (receipt,) = decisions[3].receipts
    assert (receipt.first_time, receipt.applied_time) == (4.5, 4.5)


def test_a_transition_rises_and_is_applied_when_its_time_is_over() -> None:
    director = Director([Cue(prompt="a", at=0), Cue(prompt="b", at=3, transition=4)])
    decisions = run(director, range(6))
    weights = [dict(d.mix).get("b", 0.0) for d in decisions]
    assert weights == pytest.approx([0, 0, 0.375, 0.75, 1.0, 1.0])
    assert all(sum(dict(d.mix).values()) == pytest.approx(1) for d in decisions)
    assert [d.receipts[0].applied_chunk for d in decisions if d.receipts] == [0, None, 5]


def test_a_cue_in_the_middle_of_a_transition_supersedes_it_and_starts_from_the_blend() -> None:
    director = Director(
        [Cue(prompt="a", at=0), Cue(prompt="b", at=1.5, transition=6), Cue(prompt="c", at=3, transition=3)]
    )
    decisions = run(director, range(5))
    assert dict(decisions[1].mix) == pytest.approx({"a": 0.75, "b": 0.25})
    assert dict(decisions[2].mix) == pytest.approx({"a": 0.375, "b": 0.125, "c": 0.5})
    superseded, begun = decisions[2].receipts
    assert superseded.cue.prompt == "b"
    assert superseded.status is ReceiptStatus.SUPERSEDED
    assert begun.cue.prompt == "c"
    assert begun.status is ReceiptStatus.ACCEPTED


def test_of_several_directions_for_one_chunk_the_latest_wins() -> None:
    director = Director([Cue(prompt="a", at=0)])
    run(director, range(2))
    for prompt in ("b", "c", "d"):
        receipt = director.steer(prompt, 0.0, chunk=2, start=3.0)
        assert receipt.status is ReceiptStatus.ACCEPTED
        assert receipt.first_chunk == 2
    (decision,) = run(director, range(2, 3))
    assert decision.mix == (("d", 1.0),)
    assert [(r.cue.prompt, r.status.value) for r in decision.receipts] == [
        ("b", "superseded"),
        ("c", "superseded"),
        ("d", "accepted"),
    ]


def test_state_survives_json_in_the_middle_of_a_transition() -> None:
    cues = [Cue(prompt="a", at=0), Cue(prompt="b", at=1.5, transition=6), Cue(prompt="c", at_chunk=5)]
    director = Director(cues)
    run(director, range(3))
    again = Director.from_dict(json.loads(json.dumps(director.to_dict())))
    assert run(again, range(3, 7)) == run(director, range(3, 7))


def test_a_preset_may_blend_a_cut_over_some_chunks() -> None:
    cues = [Cue(prompt="a", at=0), Cue(prompt="b", at_chunk=2), Cue(prompt="c", at_chunk=8, transition=3)]
    director = Director(cues, interpolate=4)
    decisions = run(director, range(11))
    weights = [dict(d.mix).get("b", 0.0) for d in decisions]
    assert weights[:7] == pytest.approx([0, 0, 0.25, 0.5, 0.75, 1, 1])
    assert [d.receipts[0].applied_chunk for d in decisions[:7] if d.receipts] == [0, None, 5]
    assert [dict(d.mix).get("c", 0.0) for d in decisions[8:]] == pytest.approx([0.5, 1.0, 1.0])
    again = Director.from_dict(json.loads(json.dumps(director.to_dict())))
    again.steer("d", 0.0, chunk=11, start=16.5)
    assert dict(run(again, range(11, 12))[0].mix)["d"] == pytest.approx(0.25)


def test_a_weight_that_is_none_is_refused_when_it_is_given() -> None:
    with pytest.raises(UserError, match=r"weight 9 in \(b:9\) is not between 0 and 4"):
        Director([Cue(prompt="a", at=0), Cue(prompt="a (b:9)", at=4)])
    director = Director([Cue(prompt="a", at=0)])
    told: list[object] = []
    with pytest.raises(UserError, match=r"\(b:1.2 is never closed"):
        director.steer("a (b:1.2", 0.0, 1, CHUNK, told.append)
    assert told == []
    assert [d.mix for d in run(director, range(3))] == [(("a", 1.0),)] * 3
