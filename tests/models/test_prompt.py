"""Weights inside prompts: what is read as one, what is text, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.errors import UserError
from longtake.models.prompt import Prompt, clean, parse


def spans(prompt: Prompt) -> dict[str, float]:
    """Words of a prompt and the weight of each."""
    starts = [0, *(i + 1 for i, char in enumerate(prompt.text) if char == " ")]
    words = prompt.text.split()
    weights = prompt.of_tokens((start, start + len(word)) for start, word in zip(starts, words, strict=True))
    return dict(zip(words, weights, strict=True))


def test_weights_belong_to_their_words() -> None:
    prompt = parse("a (red:1.3) sphere on a ( wooden floor : .5 )")
    assert prompt.text == "a red sphere on a wooden floor"
    assert spans(prompt) == {"a": 1, "red": 1.3, "sphere": 1, "on": 1, "wooden": 0.5, "floor": 0.5}


def test_nested_weights_multiply() -> None:
    assert spans(parse("((red:1.5) ball:2) here")) == {"red": 3.0, "ball": 2.0, "here": 1.0}


def test_half_a_word_counts_half() -> None:
    prompt = parse("(re:3)dd")
    assert prompt.text == "redd"
    assert prompt.of_tokens([(0, 4), (4, 4)]) == [2.0, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        "a red sphere",
        "a sphere (red) and (note: keep left)",
        "smile :) and (a 16:9 frame)",
        "two ) brackets ( alone",
        "a: 1.5",
        "a backslash \\ alone and \\n",
    ],
)
def test_prompts_without_weights_are_left_as_they_are(text: str) -> None:
    assert parse(text) == Prompt(text=clean(text))


def test_a_weight_of_one_is_no_weight() -> None:
    assert parse("a (red:1.0) sphere") == parse("a red sphere")


def test_escaped_brackets_are_text() -> None:
    assert parse(r"a \(red:1.3\) \\ sphere") == Prompt(text=r"a (red:1.3) \ sphere")
    assert spans(parse(r"(a \(red\):2)")) == {"a": 2, "(red)": 2}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a (red:) sphere", "not a number"),
        ("a (red:1.3.4) sphere", "'1.3.4' .* not a number"),
        ("a (red:1,3) sphere", "not a number"),
        ("a (red:-1) sphere", "not between 0 and 4"),
        ("meet (at 10:30)", r"not between 0 and 4; .*plain bracket"),
        ("a (:1.3) sphere", "weighs no words"),
        ("a (red:1.3 sphere", "never closed"),
        ("a (red:1.3", "never closed"),
    ],
)
def test_malformed_weights_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parse(text)


def test_prompts_are_cleaned_as_wan_does() -> None:
    assert clean(" red &amp;amp;\n  blue ") == "red & blue"
    assert clean("a cafÃ© â€” “quoted”") == 'a café — "quoted"'


@given(st.text(alphabet="ab :().\\01", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        prompt = parse(text)
    except UserError:
        return
    assert prompt.text == clean(prompt.text)
    assert len(prompt.weights) in (0, len(prompt.text))
