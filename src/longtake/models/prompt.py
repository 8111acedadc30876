r"""Weights inside a prompt: `a (red:1.3) sphere on a (wooden floor:0.8)`.

`(words:number)` makes its words count more (above 1) or less (below 1); inside one another, numbers multiply. Brackets
without a number are ordinary text, and a prompt without weights is exactly the text it was. `\(`, `\)` and `\\` are a
plain bracket and a plain backslash.

The encoder reads the whole prompt without its weights, so every word is understood in its context; then the rows of the
words are multiplied by their numbers. In Wan's embedding an empty prompt is zero behind its end mark, so this leads
from "nothing said" through the plain prompt (1) to beyond it. A word of weight 0 leaves its row zero, as padding is,
though its neighbours have read it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from longtake.errors import UserError

__all__ = ["MAX_WEIGHT", "Prompt", "clean", "parse"]

MAX_WEIGHT = 4.0
_LOOKS_LIKE_NUMBER = re.compile(r"[\d\s.,+\-eE]*")
_BEGINS_WITH_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(\s|$)")
_REMEDY = r"write (words:1.3), or \( for a plain bracket"


def clean(prompt: str) -> str:
    """A prompt as Wan's tokenizer wants it: mojibake repaired, HTML entities resolved, white space collapsed."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(prompt))).split())


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A cleaned prompt and how much each of its characters counts."""

    text: str
    """What the encoder reads, without weights."""
    weights: tuple[float, ...] = ()
    """One per character; empty when all count 1."""

    def of_tokens(self, spans: Iterable[tuple[int, int]]) -> list[float]:
        """The weight of each token, given the characters it came from: their mean, blanks left out; 1 for none."""
        return [self._mean(start, end) for start, end in spans]

    def _mean(self, start: int, end: int) -> float:
        places = [place for place in range(start, end) if not self.text[place].isspace()]
        return math.fsum(self.weights[place] for place in places) / len(places) if places else 1.0


def parse(prompt: str) -> Prompt:
    """Clean a prompt and read its weights. Raises UserError for a weight that cannot be one."""
    cleaned = clean(prompt)
    marks = _read(cleaned)
    kept = [
        (char, weight)
        for (char, weight), before in zip(marks, [" ", *(char for char, _ in marks)], strict=False)
        if not (char.isspace() and before.isspace())
    ]
    while kept and kept[-1][0].isspace():
        kept.pop()
    weights = tuple(weight for _, weight in kept)
    is_plain = all(weight == 1 for weight in weights)
    return Prompt(text="".join(char for char, _ in kept), weights=() if is_plain else weights)


Mark = tuple[str, float]


def _read(text: str) -> list[Mark]:
    """Characters with their weights, the brackets of weights taken out."""
    marks: list[Mark] = []
    opened: list[int] = []
    characters = iter(text)
    for char in characters:
        if char == "\\":
            escaped = next(characters, "")
            marks += [(each, 1.0) for each in (escaped if escaped in ("(", ")", "\\") else char + escaped)]
            continue
        if char == "(":
            opened.append(len(marks))
        elif char == ")" and opened:
            start = opened.pop()
            weighted = _weighted(marks[start + 1 :])
            if weighted is not None:
                marks[start:] = weighted
                continue
        marks.append((char, 1.0))
    for start in opened:
        _refuse_unclosed(marks[start + 1 :])
    return marks


def _weighted(inside: list[Mark]) -> list[Mark] | None:
    """What stands between two brackets, weighted; None when it carries no number."""
    words, colon, number = "".join(char for char, _ in inside).rpartition(":")
    if not colon or not _LOOKS_LIKE_NUMBER.fullmatch(number):
        return None
    try:
        weight = float(number)
    except ValueError:
        raise UserError(
            f"weight {number.strip()!r} in ({words}:{number}) is not a number; {_REMEDY}"
        ) from None
    if not 0 <= weight <= MAX_WEIGHT:
        raise UserError(
            f"weight {number.strip()} in ({words}:{number}) is not between 0 and {MAX_WEIGHT:g}; {_REMEDY}"
        )
    if not words.strip():
        raise UserError(f"({words}:{number}) weighs no words; {_REMEDY}")
    return [(char, before * weight) for char, before in inside[: len(words)]]


def _refuse_unclosed(inside: list[Mark]) -> None:
    words, colon, number = "".join(char for char, _ in inside).rpartition(":")
    if colon and _BEGINS_WITH_NUMBER.match(number):
        raise UserError(f"the bracket of ({words}:{number} is never closed; {_REMEDY}")
