"""`longtake bench narrative`: storyboards of toybox scenes, one thing changing with every beat, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from longtake.measure.adherence import score
from longtake.measure.bench import BY_DEFAULT, Bench
from longtake.measure.cases import Asked, Case, asked_of
from longtake.measure.narrative import PATIENCE, Look, Told, tell
from longtake.measure.results import Figure, Result
from longtake.timeline import Cue, Timeline
from longtake.world.captions import caption
from longtake.world.edit import edit
from longtake.world.reader import Reader
from longtake.world.reading import UNKNOWN, Reading
from longtake.world.render import render
from longtake.world.scene import Scene, sample_scene
from longtake.world.state import state
from longtake.world.vocabulary import COLOURS, MOTIONS

__all__ = ["Story", "looks_of", "narrative", "stories"]

FIRST_SEED = 9_000_000
"""Seeds of the stories' scenes."""
STEP = 0.5
"""Seconds between the windows that are read."""
FIGURES = ("adherence", "seen", "on_time", "in_order", "kept")


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """One solid, and what changes about it beat by beat."""

    case: Case
    """The first beat; its seed is the take's."""
    beats: tuple[Scene, ...]
    """The scene of each beat; from one to the next either the colour or the motion changes."""
    begins: tuple[float, ...]
    """Second at which each begins."""

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What each beat asks for."""
        return tuple(asked_of(state(scene)) for scene in self.beats)

    @property
    def timeline(self) -> Timeline:
        """The storyboard."""
        return Timeline(
            cues=tuple(
                Cue(prompt=caption(scene, split="held_out"), at=begin)
                for scene, begin in zip(self.beats, self.begins, strict=True)
            )
        )


def stories(count: int, beats: int, every: float) -> list[Story]:
    """`count` stories of `beats` beats that begin `every` seconds apart, the same every time."""
    return [_story(index, beats, every) for index in range(count)]


def _story(index: int, beats: int, every: float) -> Story:
    scene = sample_scene(FIRST_SEED + index, level=1, split="held_out")
    rng = np.random.Generator(np.random.Philox(key=(FIRST_SEED, index)))
    scenes = [scene]
    for beat in range(1, beats):
        now = state(scenes[-1]).solids[0]
        if (beat + index) % 2:
            scenes.append(edit(scenes[-1], colour=_other(rng, COLOURS, now.colour)))
        else:
            scenes.append(edit(scenes[-1], motion=_other(rng, MOTIONS, now.motion)))
    case = Case(
        key=f"story-{index:04d}",
        seed=index,
        scene=scene,
        prompt=caption(scene, split="held_out"),
        asked=asked_of(state(scene)),
    )
    return Story(case=case, beats=tuple(scenes), begins=tuple(beat * every for beat in range(beats)))


def _other(rng: np.random.Generator, values: Sequence[str], now: str) -> str:
    rest = [value for value in values if value != now]
    return rest[int(rng.integers(len(rest)))]


def looks_of(story: Story, frames: np.ndarray, reader: Reader, fps: int) -> list[Look]:
    """What windows of a clip `uint8 [T, H, W, 3]` show, as the reader reads them."""
    length, step = reader.config.window, max(1, round(STEP * fps))
    starts = range(0, len(frames) - length + 1, step)
    read = reader.read_batch(np.stack([frames[start : start + length] for start in starts]), fps)
    windows = [(start / fps, (start + length) / fps) for start in starts]
    return [
        Look(
            start=start,
            end=end,
            beats=tuple(_shows(asked, reading) for asked in story.asked),
            kept=_kept(story, windows, read, start, reading),
        )
        for (start, end), reading in zip(windows, read, strict=True)
    ]


def _shows(asked: Asked, reading: Reading) -> bool:
    """Whether colour and motion, which tell the beats apart, are as the beat asks."""
    hits = score(asked, reading)
    return all(hits["colour"]) and all(hits["motion"])


def _kept(
    story: Story, windows: Sequence[tuple[float, float]], read: Sequence[Reading], start: float, now: Reading
) -> bool | None:
    """Shape, ground and count as in the last window before the beat that is in force at `start`."""
    begin = max(each for each in story.begins if each <= start + 1e-9)
    before = [reading for (_, end), reading in zip(windows, read, strict=True) if end <= begin + 1e-9]
    if not before:
        return None
    last = before[-1]
    same_ground = now.ground == last.ground != UNKNOWN
    same_count = now.count == last.count is not None
    shapes = [solid.shape for solid in now.objects], [solid.shape for solid in last.objects]
    return bool(same_ground and same_count and shapes[0] == shapes[1] and UNKNOWN not in shapes[0])


def narrative(bench: Bench, beats: int = 4, every: float = 6.0) -> Result:
    """Storyboards through the model, and toybox's own rendering of them as the upper bound."""
    told = {story.case.key: story for story in stories(bench.prompts, beats, every)}
    each, end = bench.frames(every), beats * every

    def do(case: Case) -> dict[str, Any]:
        story = told[case.key]
        take = bench.pipe.stream(story.timeline, seed=case.seed, num_frames=each * beats)
        made = np.concatenate([chunk.frames for chunk in take])
        bench.show(case, made)
        size = (bench.pipe.height, bench.pipe.width)
        true = np.concatenate(
            [render(scene, each, size=size, fps=bench.pipe.fps).frames for scene in story.beats]
        )
        clips = {"made": made, "true": true}
        return {name: _values(story, clip, bench, end) for name, clip in clips.items()}

    cases = [story.case for story in told.values()]
    takes = bench.run("narrative", {"beats": beats, "every": every}, cases, do)
    control = "control: toybox's own rendering of the beats, one after the other (upper bound)"
    return takes.result(
        f"Narrative adherence: {len(cases)} storyboards of {beats} beats",
        f"{BY_DEFAULT} Every {every:g} seconds the prompt changes the colour or the motion of one solid. Windows of "
        f"{bench.reader.config.window} frames every {STEP:g} s. Seen: such a window within the beat shows its colour "
        f"and motion. On time: within {PATIENCE:g} s. In order: longest run of beats whose first showings rise. Kept: "
        "shape, ground and count as before the beat. Adherence: seen, on time and kept. Means over storyboards with "
        "95 % intervals (bootstrap).",
        [*_table(takes.rows, "made", ""), *_table(takes.rows, "true", control)],
    )


def _values(story: Story, clip: np.ndarray, bench: Bench, end: float) -> dict[str, float | None]:
    told: Told = tell(story.begins, end, looks_of(story, clip, bench.reader, bench.pipe.fps))
    return {name: getattr(told, name) for name in FIGURES}


def _table(rows: Sequence[dict[str, Any]], which: str, note: str) -> list[Figure]:
    return [
        Figure.mean(name.replace("_", " "), [row[which][name] for row in rows], "share", note)
        for name in FIGURES
    ]
