"""The claims of StreamingT2V (arXiv 2403.14773) on a model with its memories: ablations, and what length does.

Ablations: the same transformer, prompts and seeds with attending, adding or concatenating short-term memory (each
trained for as many steps), with and without long-term memory, and with neither. Lengths: one take a prompt, measured
again at each length, which loses nothing, since a shorter take is the beginning of a longer one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import UserError
from longtake.measure.adherence import judged, shares
from longtake.measure.bench import BY_READER, Bench
from longtake.measure.cases import Case, held_out_cases
from longtake.measure.contest import Entrant
from longtake.measure.filming import timeline_of
from longtake.measure.length import resident_mb
from longtake.measure.methods import remembering, streamed
from longtake.measure.paired import beside, quotient
from longtake.measure.results import Figure, Result
from longtake.measure.rivals import side_by_side
from longtake.measure.video import Finding
from longtake.measure.video.drift import Drift
from longtake.measure.video.evaluate import run_meters
from longtake.measure.video.flow import choose_flow
from longtake.measure.video.mawe import Mawe
from longtake.measure.video.shots import Shots
from longtake.models.streaming.cam import ShortTerm
from longtake.models.streaming.networks import MemoryNetworks, open_cam
from longtake.models.wan import WanTransformer
from longtake.pipeline import Pipeline

__all__ = ["LENGTHS", "ablations", "lengths", "opened", "variants"]

LENGTHS = (80, 240, 600, 1200)
"""Frames."""
TAIL_SECONDS = 2.0
"""The end of a take that is read, at each length."""
WITHIN = 1.1
"""How much worse the longest take may be than the second length asks."""
KEPT = ("mawe_paper", "mawe_reference", "cuts", "drift_colour")


def opened(memories: Sequence[str], pipe: Pipeline) -> dict[str, ShortTerm]:
    """Short-term memories written as `NAME=FOLDER`: a folder with `cam/`, as training exports it, or `cam/` itself.

    Raises UserError for what cannot be read, and for a model that can have none.
    """
    found: dict[str, ShortTerm] = {}
    for text in memories:
        name, equals, folder = text.partition("=")
        if not equals or name in found:
            raise UserError(f"--cam {text}: write NAME=FOLDER, each under a name of its own")
        path = Path(folder)
        if not isinstance(pipe.backbone, WanTransformer):
            raise UserError(f"{pipe.name!r} takes no other short-term memory; compare with mini")
        backbone = pipe.backbone
        network = open_cam(path / "cam" if (path / "cam").is_dir() else path, backbone.config)
        MemoryNetworks(cam=network).to(backbone.device, backbone.dtype)
        found[name] = network
    return found


def variants(pipe: Pipeline, others: Mapping[str, ShortTerm]) -> list[Entrant]:
    """The model with both memories, with one, with another short-term memory each, and with none.

    Raises UserError for a model without short-term memory.
    """
    base = streamed(pipe)
    if base.memories.cam is None and isinstance(base.backbone, WanTransformer):
        raise UserError(f"{pipe.name!r} has no short-term memory (cam/); train one with `longtake train cam`")
    found = []
    if base.memories.apm is not None or not isinstance(base.backbone, WanTransformer):
        found.append(Entrant(name="cam-apm", pipe=base))
    found.append(Entrant(name="cam", pipe=remembering(base, long_term=False)))
    for name, network in others.items():
        other = copy(remembering(base, long_term=False))
        other.memories = replace(base.memories, cam=network)
        found.append(Entrant(name=name, pipe=other))
    found.append(Entrant(name="none", pipe=remembering(base, long_term=False, short_term=False)))
    return found


def ablations(bench: Bench, others: Mapping[str, ShortTerm], frames: int) -> Result:
    """Every variant on the same prompts, one table; differences are to the first, pair by pair."""
    found = variants(bench.pipe, others)
    result = side_by_side(bench, found, frames, "streamingt2v", "StreamingT2V's memories")
    note = "cam-apm: both memories; cam: short-term only; none: neither, clip after clip"
    return replace(result, notes=(*result.notes, note))


def lengths(bench: Bench, longest: Sequence[int] = LENGTHS) -> Result:
    """MAWE, cuts, drift and adherence of the same takes at several lengths; exact counts; growth of memory."""
    frames = sorted(set(longest))
    if len(frames) < 2:
        raise UserError(f"lengths {list(longest)} given; two different ones at least are compared")
    own = replace(bench, pipe=streamed(bench.pipe))
    names, flow = judged(own.reader.trust.reported), choose_flow()
    cases = held_out_cases(own.level, own.prompts)

    def do(case: Case) -> dict[str, Any]:
        clip, growth = _filmed(own.pipe, case, frames)
        own.show(case, clip)
        mawe, at = Mawe(flow, own.pipe.fps), dict[str, dict[str, float | None]]()
        for begin, end in pairwise((0, *frames)):
            for frame in clip[begin:end]:
                mawe.add(frame)
            at[str(end)] = measured(case, clip[:end], mawe.finish())
        return {"growth": growth, "at": at}

    def measured(case: Case, clip: np.ndarray, moved: Finding) -> dict[str, float | None]:
        _, finding = run_meters([Drift(own.pipe.fps), Shots()], clip)
        [reading] = own.read(clip[-min(len(clip), own.frames(TAIL_SECONDS)) :])
        found = {**moved.values, **finding.values}
        values: dict[str, float | None] = {name: found[name] for name in KEPT}
        return values | {"adherence": shares(case.asked, reading, names)["adherence"]}

    policy = own.pipe.preset.policy.model_dump(mode="json", exclude_defaults=True)
    config = {"frames": frames, "policy": policy, "flow": flow.name}
    takes = own.run(f"streamingt2v-lengths-level{own.level}", config, cases, do)
    rows = takes.rows
    table = [*_counts(own.pipe, cases[0], frames), *_columns(rows, frames), *_held(rows, frames)]
    result = takes.result(
        f"StreamingT2V at {', '.join(map(str, frames))} frames, {len(cases)} prompts",
        f"{BY_READER} Adherence in the last {TAIL_SECONDS:g} seconds of each length; the other figures are those of "
        f"`longtake eval` over the whole length, flow by {flow.name}. Means over prompts with 95 % intervals "
        "(bootstrap); in brackets the mean difference to the first length. Memory: resident, from the second length "
        "to the last of one take.",
        table,
    )
    return replace(result, columns=False)


def _filmed(pipe: Pipeline, case: Case, frames: Sequence[int]) -> tuple[np.ndarray, float]:
    """The longest take, and by how many MB memory grew after the second length; its frames are kept apart."""
    parts, made = list[np.ndarray](), 0
    before: float | None = None
    for chunk in pipe.stream(timeline_of(case), seed=case.seed, num_frames=frames[-1]):
        parts.append(chunk.frames)
        made += len(chunk.frames)
        if before is None and made >= frames[min(1, len(frames) - 2)]:
            before = resident_mb() - _mb(parts)
    growth = resident_mb() - _mb(parts) - (before or 0.0)
    return np.concatenate(parts), growth


def _mb(parts: Sequence[np.ndarray]) -> float:
    return sum(part.nbytes for part in parts) / 1e6


def _counts(pipe: Pipeline, case: Case, frames: Sequence[int]) -> list[Figure]:
    """Whether a take of each length has that many frames; the longest is counted by the takes themselves."""
    figures = []
    for count in frames[:-1]:
        made = sum(len(chunk.frames) for chunk in pipe.stream(case.prompt, seed=case.seed, num_frames=count))
        figures.append(
            Figure(name=f"{count} frames asked: off by", value=abs(made - count), unit="frames", asked="<= 0")
        )
    return figures


def _columns(rows: Sequence[Mapping[str, Any]], frames: Sequence[int]) -> list[Figure]:
    first = str(frames[0])
    figures = []
    for count in map(str, frames):
        for what in (*KEPT, "adherence"):
            values, base = ([row["at"][n][what] for row in rows] for n in (count, first))
            figures.append(beside(f"{count} frames, {what}", values, values if count == first else base))
    return figures


def _held(rows: Sequence[Mapping[str, Any]], frames: Sequence[int]) -> list[Figure]:
    """What is asked of the longest take: no more than a tenth worse than the second length, memory flat."""
    last, second = str(frames[-1]), str(frames[min(1, len(frames) - 2)])
    table = []
    for what, asked in (("mawe_paper", f"<= {WITHIN}"), ("adherence", f">= {2 - WITHIN:.1f}")):
        pairs = [(row["at"][last][what], row["at"][second][what]) for row in rows]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        found = quotient([a for a, _ in known], [b for _, b in known]) if known else None
        name = f"{what}, {last} frames over {second}"
        table.append(
            Figure(name=name, value=None, note="nothing to divide by")
            if found is None
            else Figure(
                name=name, value=found[0], unit="ratio", interval=found[1:], count=len(known), asked=asked
            )
        )
    growth = [row["growth"] for row in rows]
    table.append(Figure(name="memory, growth at most", value=max(growth), unit="MB", asked="<= 20"))
    return table
