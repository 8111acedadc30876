"""Takes of several models below each other, prompt by prompt, as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from longtake.measure.contest import SLICE, Contest, Made
from longtake.measure.provenance import provenance
from longtake.measure.video.page import data_url, write_html
from longtake.measure.video.table import FIGURES, show

__all__ = ["write_contest_page"]

SHOWN = ("cuts", "drift_identity", "drift_colour", "join_ratio")


def write_contest_page(path: Path, title: str, contest: Contest, made: Sequence[Made]) -> None:
    """Figures, contact sheets and X–T slices of all takes, as far as their pictures are there.

    Raises UserError when the file cannot be written.
    """
    cases = [
        {"prompt": case.prompt, "takes": list(_takes(contest, made, number))}
        for number, case in enumerate(made[0].takes.cases)
    ]
    write_html(path, "contest.html", title=title, cases=cases, origin=provenance("float32"))


def _takes(contest: Contest, made: Sequence[Made], number: int) -> Iterator[dict[str, object]]:
    """A take of every model for one prompt."""
    part = "tail" if contest.has_tail else "head"
    for own in made:
        folder, case = contest.pictures(own.entrant), own.takes.cases[number]
        assert folder is not None
        values = {f"adherence, {part}": show(own.adherence(part)[number])}
        values |= {FIGURES[name].title: show(own.of(name)[number]) for name in SHOWN}
        yield {
            "name": own.entrant.name,
            "values": values,
            "sheet": _picture(folder / f"{case.key}.png"),
            "slice": _picture(folder / f"{case.key}{SLICE}"),
        }


def _picture(path: Path) -> str | None:
    """None for a take that was made without pictures."""
    return data_url(path.read_bytes()) if path.is_file() else None
