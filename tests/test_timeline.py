"""Cues, timelines, receipts and the storyboard file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.errors import UserError
from longtake.timeline import Cue, CueError, Receipt, ReceiptStatus, Timeline


def test_a_prompt_is_a_timeline_of_one_cue_at_the_start() -> None:
    assert Timeline.from_prompt("a red sphere").cues == (Cue(prompt="a red sphere", at=0.0),)


@pytest.mark.parametrize("prompt", ["", "   ", "\n"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(UserError, match=r"prompt: .* says nothing"):
        Timeline.from_prompt(prompt)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "at"),
        ({"at": 1.0, "at_chunk": 1}, "at"),
        ({"at": -1.0}, "at"),
        ({"at": float("nan")}, "at"),
        ({"at": float("inf")}, "at"),
        ({"at": 10**400}, "at"),
        ({"at": True}, "at"),
        ({"at": "soon"}, "at"),
        ({"at_chunk": -1}, "at_chunk"),
        ({"at_chunk": 1.5}, "at_chunk"),
        ({"at_chunk": True}, "at_chunk"),
        ({"at": 1.0, "transition": -2}, "transition"),
    ],
)
def test_a_cue_refuses_a_field_by_name(fields: dict, field: str) -> None:
    with pytest.raises(CueError) as caught:
        Cue(prompt="a red sphere", **fields)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_a_cue_in_seconds_applies_at_the_first_chunk_that_starts_at_or_after_it() -> None:
    cue = Cue(prompt="p", at=1.5)
    assert [cue.applies(index, index * 12 / 8) for index in range(3)] == [False, True, True]
    assert not cue.applies(9, 1.4)


def test_a_cue_on_a_frame_time_without_an_exact_float_is_not_late() -> None:
    assert Cue(prompt="p", at=0.1 + 0.2).applies(1, 0.3)


def test_a_cue_at_a_chunk_looks_at_no_time() -> None:
    cue = Cue(prompt="p", at_chunk=2)
    assert [cue.applies(index, 100.0) for index in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("cues", "problem"),
    [
        ((), "none given"),
        ((Cue(prompt="p", at=1.0),), "first cue"),
        ((Cue(prompt="p", at_chunk=1),), "first cue"),
        ((Cue(prompt="p", at=0.0, transition=1.0),), "nothing to change from"),
        ((Cue(prompt="p", at=0.0), Cue(prompt="q", at=0.0)), "must rise"),
        ((Cue(prompt="p", at=0.0), Cue(prompt="q", at=3.0), Cue(prompt="r", at=2.0)), "must rise"),
        ((Cue(prompt="p", at_chunk=0), Cue(prompt="q", at_chunk=0)), "must rise"),
    ],
)
def test_a_timeline_starts_at_0_and_rises(cues: tuple[Cue, ...], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        Timeline(cues=cues)


def test_a_receipt_becomes_plain_values() -> None:
    receipt = Receipt(
        cue=Cue(prompt="p", at=4.0, transition=2.0),
        status=ReceiptStatus.ACCEPTED,
        first_chunk=3,
        first_time=4.125,
    )
    assert receipt.to_dict() == {
        "cue": {"prompt": "p", "at": 4.0, "transition": 2.0},
        "status": "accepted",
        "first_chunk": 3,
        "applied_chunk": None,
        "first_time": 4.125,
        "applied_time": None,
    }


@pytest.fixture
def story(tmp_path: Path):
    """Reads a text as a storyboard file."""

    def read(text: str | bytes) -> Timeline:
        path = tmp_path / "story.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return Timeline.from_storyboard(path)

    return read


def test_a_storyboard_reads_seconds_chunks_and_transitions(story) -> None:
    timeline = story(
        "cues:\n"
        "  - {at: 0, prompt: a red sphere}\n"
        "  - {at: 4, prompt: the red sphere turns blue, transition: 2}\n"
        "  - at_chunk: 9\n"
        "    prompt: a cube\n"
    )
    assert timeline.cues == (
        Cue(prompt="a red sphere", at=0),
        Cue(prompt="the red sphere turns blue", at=4, transition=2),
        Cue(prompt="a cube", at_chunk=9),
    )


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("", "1: cues", "empty"),
        ("- at: 0\n", "1: storyboard", "not a mapping; put a line cues: above it"),
        ("all", "1: storyboard", "not a mapping; its fields are: cues"),
        ("\nquecs: []\n", "2: storyboard.quecs", "unknown field; known: cues"),
        ("cues: {}\n", "1: cues", "not a list"),
        ("cues: []\n", "1: cues", "none given"),
        ("cues:\n  - soon\n", "2: cues[0]", "its fields are: prompt, at, at_chunk, transition"),
        ("cues:\n  - at: 0\n", "2: cues[0].prompt", "missing"),
        ("cues:\n  - at: 0\n    prompt: ''\n", "3: cues[0].prompt", "says nothing"),
        ("cues:\n  - at: 0\n    prompt:\n", "3: cues[0].prompt", "no value"),
        ("cues:\n  - at: 0\n    prompt: 7\n", "3: cues[0].prompt", "7 is not text; put it in quotes"),
        ("cues:\n  - prompt: p\n", "2: cues[0].at", "neither of at and at_chunk"),
        ("cues:\n  - prompt: p\n    at: 0\n    at_chunk: 0\n", "3: cues[0].at", "both of at and at_chunk"),
        ("cues:\n  - prompt: p\n    at: soon\n", "3: cues[0].at", "'soon' is not a time"),
        ("cues:\n  - prompt: p\n    at: .nan\n", "3: cues[0].at", "nan is not a time"),
        ("cues:\n  - prompt: p\n    at: [0]\n", "3: cues[0].at", "not a single value"),
        ("cues:\n  - prompt: p\n    at: !!int x\n", "3: cues[0].at", "not a plain value"),
        ("cues:\n  - prompt: p\n    at: !!python/name:os.system\n", "3: cues[0].at", "not a plain value"),
        ("cues:\n  - prompt: p\n    at_chunk: 1.5\n", "3: cues[0].at_chunk", "1.5 is not a chunk index"),
        ("cues:\n  - prompt: p\n    at: 0\n    at: 1\n", "4: cues[0].at", "given twice"),
        ("cues:\n  - prompt: p\n    at: 0\n    colour: red\n", "4: cues[0].colour", "unknown field"),
        ("cues:\n  - prompt: p\n    at: 2\n", "3: cues[0].at", "must be at 0"),
        (
            "cues:\n  - {prompt: p, at: 0}\n  - {prompt: q, at: 4}\n  - prompt: r\n    at: 3\n",
            "5: cues[2].at",
            "3 comes after 4",
        ),
        (
            "cues:\n  - {prompt: p, at: 0}\n  - {prompt: q, at: 4, transition: -1}\n",
            "3: cues[1].transition",
            "-1",
        ),
        ("cues: [\n", "2", "not valid YAML"),
        ("cues: []\n---\ncues: []\n", "2", "not valid YAML"),
        ("[" * 5000, "1", "not valid YAML"),
        ("cues: \x00\n", "1", "not valid YAML"),
    ],
)
def test_a_broken_storyboard_names_line_and_field(story, text: str, place: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        story(text)
    message = str(caught.value)
    assert f"story.yaml:{place}: " in message
    assert problem in message
    assert "\n" not in message


def test_a_storyboard_that_cannot_be_read_is_refused_by_name(story, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml cannot be read: No such file"):
        Timeline.from_storyboard(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        Timeline.from_storyboard(tmp_path)
    with pytest.raises(UserError, match="not text in UTF-8"):
        story(b"cues: \xff\xfe\xfa")


@given(text=st.text(alphabet="cues:at prompt{}[],-&*!#|>'\"\n\t 0.5", max_size=60))
def test_no_text_makes_the_reader_fail_otherwise(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    try:
        assert Timeline.from_storyboard(path).cues
    except UserError as error:
        assert "\n" not in str(error)
