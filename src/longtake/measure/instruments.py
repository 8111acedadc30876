"""The metrics themselves: does the cut counter find cuts and nothing else, and how fast is each metric?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from longtake.measure.cuts import DEFINITION, cuts
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.measure.stats import share_of
from longtake.measure.video import Frame, Meter
from longtake.measure.video.drift import Drift
from longtake.measure.video.evaluate import run_meters
from longtake.measure.video.flow import choose_flow
from longtake.measure.video.mawe import Mawe
from longtake.measure.video.pace import Pace
from longtake.measure.video.shots import Shots
from longtake.world.render import render
from longtake.world.scene import Scene, sample_scene

__all__ = ["CutClip", "cut_clips", "cut_counter", "metric_speed"]

Progress = Callable[[int, int, str], None]
FRAMES = 60
EDGE = 16
"""Frames at either end that stay free of events: the detector's shortest scene."""
KINDS = ("cut", "cut on the same ground", "fade", "flash", "none")
TOLERANCE = 1
"""Frames by which a cut may be placed off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CutClip:
    """A clip whose cuts are known."""

    kind: str
    """One of `KINDS`."""
    frames: np.ndarray
    """uint8 [T, H, W, 3]."""
    at: int | None
    """First frame of the second shot, or of the event; None when there is none."""

    @property
    def is_cut(self) -> bool:
        """Whether a cut is to be found in it."""
        return self.kind.startswith("cut")


def cut_clips(count: int) -> Iterator[CutClip]:
    """`count` clips of toybox, all kinds alike; the same every time."""
    for index in range(count):
        rng = np.random.Generator(np.random.Philox(key=(index, 0xC07)))
        kind, at = KINDS[index % len(KINDS)], int(rng.integers(EDGE, FRAMES - EDGE))
        one, other = _pair(index, same_ground=kind == "cut on the same ground")
        first = _filmed(one)
        if kind == "none":
            yield CutClip(kind=kind, frames=first, at=None)
        elif kind == "flash":
            yield CutClip(kind=kind, frames=_flash(first, at, int(rng.integers(1, 4))), at=at)
        elif kind == "fade":
            yield CutClip(kind=kind, frames=_fade(first, _filmed(other), at, int(rng.integers(6, 15))), at=at)
        else:
            yield CutClip(kind=kind, frames=np.concatenate([first[:at], _filmed(other)[at:]]), at=at)


def _pair(index: int, *, same_ground: bool) -> tuple[Scene, Scene]:
    one, seed = sample_scene(70_000 + 100 * index, level=2), 70_001 + 100 * index
    while ((other := sample_scene(seed, level=2)).ground == one.ground) is not same_ground:
        seed += 1
    return one, other


def _filmed(scene: Scene) -> np.ndarray:
    return render(scene, FRAMES, size=(96, 96), fps=8).frames


def _flash(frames: np.ndarray, at: int, length: int) -> np.ndarray:
    lit = frames.copy()
    lit[at : at + length] = (0.2 * lit[at : at + length] + 0.8 * 255).astype(np.uint8)
    return lit


def _fade(first: np.ndarray, second: np.ndarray, at: int, length: int) -> np.ndarray:
    share = np.clip((np.arange(FRAMES) - at + length / 2) / length, 0, 1)[:, None, None, None]
    return ((1 - share) * first + share * second).round().astype(np.uint8)


def cut_counter(count: int, progress: Progress) -> Result:
    """Recall and precision of the cut counter."""
    begin, found = time.perf_counter(), dict[str, list[bool]]()
    right, counted = 0, 0
    for number, clip in enumerate(cut_clips(count)):
        places = cuts(clip.frames)
        hits = [place for place in places if clip.at is not None and abs(place - clip.at) <= TOLERANCE]
        found.setdefault(clip.kind, []).append(bool(hits) if clip.is_cut else bool(places))
        if clip.kind in ("cut", "none"):
            right, counted = right + len(hits[:1]), counted + len(places)
        progress(number + 1, count, clip.kind)
    figures = [
        Figure.share("recall on hard cuts", share_of(found["cut"]), asked=0.95),
        Figure(
            name="precision on hard cuts and clips without any",
            value=right / counted if counted else None,
            unit="share",
            count=counted,
            asked=">= 0.95",
        ),
        *(
            Figure.share(f"counted as a cut: {kind}", share_of(found[kind]), note="reported")
            for kind in KINDS
            if kind != "cut"
        ),
    ]
    return Result(
        name="cuts",
        title=f"The cut counter on {count} clips whose cuts are known",
        definition=f"{DEFINITION}, on toybox clips of {FRAMES} frames. A hard cut joins scenes on different "
        f"grounds at frame {EDGE} to {FRAMES - EDGE}; found within {TOLERANCE} frame counts.",
        config={"clips": count, "frames": FRAMES, "size": 96},
        figures=tuple(figures),
        provenance=provenance("uint8"),
        seconds=time.perf_counter() - begin,
    )


def metric_speed(frames: int, sizes: tuple[int, ...], progress: Progress) -> Result:
    """Frames a second of the metrics without flow, and of those with it."""
    begin, figures = time.perf_counter(), []
    for number, size in enumerate(sizes):
        clip = render(sample_scene(7, level=2), 64, size=(size, size), fps=8).frames
        for name, meters, asked, count in _groups(frames):
            run_meters(meters(), _repeated(clip, 4))  # what is compiled or chosen at first use
            start = time.perf_counter()
            run_meters(meters(), _repeated(clip, count))
            rate = count / (time.perf_counter() - start)
            figures.append(
                Figure(name=f"{name}, {size}²", value=rate, unit="frames/s", count=count, asked=f">= {asked}")
            )
        progress(number + 1, len(sizes), f"{size} × {size}")
    return Result(
        name="metric-speed",
        title="Speed of the metrics",
        definition="Frames in memory to figures, all meters of the group at once, a thread each; decoding a file "
        "is not included. With flow: MAWE in both forms at 720 × 720.",
        config={"frames": frames, "flow": choose_flow().name},
        figures=tuple(figures),
        provenance=provenance("uint8"),
        seconds=time.perf_counter() - begin,
    )


def _groups(frames: int) -> Iterator[tuple[str, Callable[[], list[Meter]], int, int]]:
    """Name, meters, frames a second asked, frames to show."""
    yield "without flow", lambda: [Drift(8.0), Pace(8.0), Shots()], 100, frames
    yield "with flow", lambda: [Mawe(choose_flow(), 8.0)], 10, max(32, frames // 10)


def _repeated(clip: np.ndarray, count: int) -> Iterator[Frame]:
    """Forth and back through a clip, so that there is movement and no cut."""
    there_and_back = [*range(len(clip)), *range(len(clip) - 2, 0, -1)]
    return (clip[there_and_back[index % len(there_and_back)]] for index in range(count))
