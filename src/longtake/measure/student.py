"""A few-step student against the many-step model that taught it: the same prompts and seeds, the first clip.

The first clip is as long as the teacher makes at once; the student makes as many frames in blocks. Adherence of a clip:
the mean over the attributes that the reader has passed its gate for. Differences are student less teacher, paired by
prompt and seed; intervals by the bootstrap over prompts.
"""

from __future__ import annotations

from collections.abc import Iterator

from longtake.measure.bench import BY_DEFAULT, TRUTH, Bench
from longtake.measure.contest import Contest, Entrant, Made
from longtake.measure.frechet import DEFINITION, LEAST, NAME, distances, ratio, ratio_figure
from longtake.measure.results import Figure, Result
from longtake.pipeline import Pipeline

__all__ = ["against_teacher"]

SECONDS = 4.0
"""Length of the clip beside a teacher that has no end."""
MOST_LOST, MOST_FURTHER = 0.04, 1.15
"""Points of adherence that a student may lose, and how much further from the truth it may be, at the bad end of the
intervals."""


def against_teacher(bench: Bench, teacher: Pipeline, seconds: float | None = None) -> Result:
    """`bench.pipe` is the student. seconds: a shorter clip than the teacher makes at once."""
    frames = teacher.longest or bench.frames(SECONDS)
    if seconds is not None:
        frames = min(frames, bench.frames(seconds))
    contest = Contest(bench=bench, name=f"student-level{bench.level}", frames=frames, head=frames)
    one = contest.made_by(Entrant(name="student", pipe=bench.pipe))
    two = contest.made_by(Entrant(name="teacher", pipe=teacher))
    result = one.takes.result(
        f"Level {bench.level}: {bench.pipe.name} against its teacher {teacher.name}, the first {frames} frames",
        f"{BY_DEFAULT} {' '.join((__doc__ or '').split())} {DEFINITION}",
        [*_adherence(one, two), *_distance(one, two), *_time(one, two), *_truth(one)],
    )
    config = dict(result.config) | {"teacher": two.about}
    config |= {f"{made.entrant.name}_sampler": _sampler(made) for made in (one, two)}
    return Result(
        name=f"student-level{bench.level}",
        title=result.title,
        definition=result.definition,
        config=config,
        figures=result.figures,
        provenance=result.provenance,
        seconds=one.takes.ledger.seconds + two.takes.ledger.seconds,
    )


def _sampler(made: Made) -> object:
    policy = made.entrant.pipe.preset.policy
    return policy.sampler.model_dump(mode="json", exclude_defaults=True) | {"guidance": policy.guidance_scale}


def _adherence(one: Made, two: Made) -> Iterator[Figure]:
    for what in ("adherence", *one.names):
        own, base = one.adherence("head", what), two.adherence("head", what)
        for made, values in ((one, own), (two, base)):
            yield Figure.mean(f"{what}, {made.entrant.name}", values, "share")
        less = [a - b for a, b in zip(own, base, strict=True)]
        gap = Figure.mean(f"{what}, student − teacher", less, "share")
        yield gap
        if what == "adherence" and gap.interval is not None:
            yield Figure(
                name="adherence, lower end of that interval",
                value=gap.interval[0],
                unit="share",
                asked=f">= {-MOST_LOST}",
            )


def _distance(one: Made, two: Made) -> Iterator[Figure]:
    truth = one.features("truth")
    if len(truth) < LEAST:
        yield Figure(name=NAME, value=None, note=f"needs {LEAST} clips at least")
        return
    for made in (one, two):
        found = distances(truth, made.features("head"))
        name = f"{NAME}, {made.entrant.name}"
        yield Figure(name=name, value=found.value, interval=found.interval, count=found.clips)
    over = ratio(truth, one.features("head"), two.features("head"))
    name = f"{NAME}, student over teacher"
    yield ratio_figure(name, over)
    yield Figure(
        name=f"{name}, upper end of that interval",
        value=over.interval[1] if over else None,
        unit="ratio",
        asked=f"<= {MOST_FURTHER}",
    )


def _time(one: Made, two: Made) -> Iterator[Figure]:
    for made in (one, two):
        spent = [row["take_seconds"] for row in made.rows]
        name = f"seconds a clip, {made.entrant.name}, mean"
        yield Figure(name=name, value=sum(spent) / len(spent), unit="s", count=len(spent))


def _truth(one: Made) -> Iterator[Figure]:
    yield Figure.mean("adherence", one.adherence("truth"), "share", TRUTH)
