"""Models side by side, as a table of columns: ablations over short takes, drift over long ones.

Head and tail: the first and the last seconds of every take. Adherence of a clip: the mean over the attributes that the
reader has passed its gate for. Means over prompts with 95 % intervals (bootstrap); in brackets the mean difference to
the first model on the same prompts and seeds, with its interval. Identity is seen by mini-clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from longtake.errors import UserError
from longtake.measure.bench import BY_READER, Bench
from longtake.measure.contest import LOOKS, Contest, Entrant, Made
from longtake.measure.contest_page import write_contest_page
from longtake.measure.frechet import DEFINITION, LEAST, NAME, distances, ratio, ratio_figure
from longtake.measure.paired import beside, quotient
from longtake.measure.results import Figure, Result
from longtake.measure.video.table import FIGURES

__all__ = ["ablations", "drift", "side_by_side"]

SECONDS = 4.0
"""Length of head and tail."""
LEAST_KEPT = 0.95
"""Share of its adherence that the first model must keep to the end of a long take."""
QUARTERS = (0.25, 0.5, 0.75, 1.0)
"""Parts of a take at which the table shows the curve of drift."""


def ablations(bench: Bench, models: Sequence[Entrant], frames: int) -> Result:
    """Short takes: what each model lost of what the first can do."""
    return side_by_side(bench, models, frames, "ablations", "Ablations")


def drift(bench: Bench, models: Sequence[Entrant], frames: int) -> Result:
    """Long takes: what is left of the prompt and of the look at the end; the curves as a picture beside the result."""
    return side_by_side(bench, models, frames, "drift", "Drift")


def side_by_side(bench: Bench, models: Sequence[Entrant], frames: int, name: str, title: str) -> Result:
    """One table under a name and title of its own; differences are to the first model, on the same prompts."""
    if len({(each.pipe.fps, each.pipe.width, each.pipe.height) for each in models}) != 1:
        raise UserError("models of different sizes or frame rates cannot be set side by side; give others")
    head = min(frames, bench.frames(SECONDS))
    name = f"{name}-level{bench.level}"
    contest = Contest(bench=bench, name=name, frames=frames, head=head)
    made = [contest.made_by(each) for each in models]
    table = [figure for each in made for figure in _column(each, made[0], contest, asked=name[:5] == "drift")]
    result = made[0].takes.result(
        f"{title}: {', '.join(each.name for each in models)}, {bench.prompts} prompts of {frames} frames",
        f"{BY_READER} {' '.join((__doc__ or '').split())} Head and tail are {head} frames long. {DEFINITION} The other "
        "figures are those of `longtake eval`.",
        table,
    )
    picture = bench.out / f"{name}.png"
    if bench.pictures is not None:
        write_contest_page(bench.pictures / "report.html", result.title, contest, made)
    return Result(
        name=name,
        title=result.title,
        definition=result.definition,
        config={
            "frames": frames,
            "head": head,
            "level": bench.level,
            "prompts": bench.prompts,
            "reader": result.config["reader"],
            "models": {each.entrant.name: each.about for each in made},
        },
        figures=tuple(table),
        provenance=result.provenance,
        seconds=sum(each.takes.ledger.seconds for each in made),
        notes=(f"curves: {picture.name}",) if _draw(made, picture) else (),
        columns=True,
    )


def _column(own: Made, base: Made, contest: Contest, *, asked: bool) -> Iterator[Figure]:
    """One model's figures, called "model: figure"."""
    parts = ("head", "tail") if contest.has_tail else ("head",)
    column = f"{own.entrant.name}: "
    for what in ("adherence", *own.names):
        for part in parts:
            yield beside(
                f"{column}{what}, {part}", own.adherence(part, what), base.adherence(part, what), "share"
            )
    if contest.has_tail:
        yield _kept(column, own, asked=asked and own is base)
    yield from _distance(column, own, base)
    for look in LOOKS:
        yield beside(f"{column}{FIGURES[look].title}", own.of(look), base.of(look))
    if contest.has_tail:
        for share in QUARTERS:
            name = f"{column}colour drift at {share * contest.frames / contest.bench.pipe.fps:.0f} s"
            yield beside(name, _curve_at(own, share), _curve_at(base, share), "ΔE")
    yield beside(f"{column}real-time factor", own.of("rtf"), base.of("rtf"))


def _kept(column: str, own: Made, *, asked: bool) -> Figure:
    found = quotient(own.adherence("tail"), own.adherence("head"))
    name = f"{column}adherence, tail over head"
    if found is None:
        return Figure(name=name, value=None, note="nothing is there to be kept")
    least = f">= {LEAST_KEPT}" if asked else None
    return Figure(
        name=name, value=found[0], unit="ratio", interval=found[1:], count=len(own.rows), asked=least
    )


def _distance(column: str, own: Made, base: Made) -> Iterator[Figure]:
    truth = base.features("truth")
    if len(truth) < LEAST:
        return
    found = distances(truth, own.features("head"))
    yield Figure(name=f"{column}{NAME}", value=found.value, interval=found.interval, count=found.clips)
    if own is not base:
        over = ratio(truth, own.features("head"), base.features("head"))
        yield ratio_figure(f"{column}{NAME} over the first's", over)


def _curve_at(made: Made, part: float) -> list[float]:
    """Drift of colour of every take in the window that a part of its length falls into."""
    return [row["curve"][1][round(part * (len(row["curve"][1]) - 1))] for row in made.rows]


def _draw(made: Sequence[Made], path: Path) -> bool:
    """Mean drift of colour over time, a line a model; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure as Plot
    except ImportError:
        return False
    plot = Plot(figsize=(7, 4), layout="constrained")
    axes = plot.subplots()
    for each in made:
        seconds = each.rows[0]["curve"][0]
        values = np.array([row["curve"][1] for row in each.rows])
        axes.plot(seconds, values.mean(0), label=each.entrant.name)
        axes.fill_between(seconds, *np.percentile(values, [25, 75], axis=0), alpha=0.15)
    axes.set(xlabel="seconds", ylabel="drift of colour, ΔE", title="mean over prompts, middle half shaded")
    axes.legend()
    plot.savefig(path, dpi=120)
    return True
