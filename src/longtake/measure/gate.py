"""The reader's gate: what it may report, and whether it abstains where it must.

True: held-out windows of toybox (attribute combinations that its training never saw), each attribute of each
solid that is in view and does not change, of ground, camera and count. Unknown is wrong. An attribute below
the bar is taken from what the reader reports. Faulty: held-out windows spoilt by noise, heavy blur, a cross-
fade of two scenes or half of a solid erased; the reader abstains when it calls the clip unknown or, for an
erased solid, when it names no shape for it. Intervals: Wilson's where there is one answer a window, the bootstrap over
windows where there are several.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.measure.stats import share_by_clip, share_of
from longtake.world.corrupt import KINDS, blur, cross_fade, erase, noise
from longtake.world.labels import OPEN
from longtake.world.reader import Reader, read_config, write_config
from longtake.world.reader_config import ReaderConfig
from longtake.world.reading import UNKNOWN, Reading, Trust
from longtake.world.windows import Window, WindowDraw, draw_windows, render_plate

__all__ = ["TRUE", "abstains", "gate", "passed", "record", "true_outcomes"]

TRUE = 0.98
"""Least share of right answers on true renderings."""
ABSTAIN = 0.95
"""Least share of unknown on faulty ones."""
SEED = 4_242
FAULT_SEED = 4_343
HELD_OUT = WindowDraw(split="held_out")
EVERYTHING = Trust().reported
"""All that the reader could report."""

Progress = Callable[[int, int, str], None]


def true_outcomes(window: Window, reading: Reading, config: ReaderConfig) -> dict[str, list[bool]]:
    """Right or wrong for everything that the window's labels ask."""
    labels = window.labels
    outcome: dict[str, list[bool]] = {name: [] for name in EVERYTHING}
    for k, colour in enumerate(config.colours):
        solid = reading.solid(colour)
        for name, choices in config.answers:
            answer = int(getattr(labels, name)[k])
            if answer != OPEN:
                outcome[name].append(solid is not None and getattr(solid, name) == choices[answer])
    outcome["ground"].append(reading.ground == config.grounds[labels.ground])
    outcome["camera"].append(reading.camera == config.cameras[labels.camera])
    if not (labels.present == OPEN).any():
        outcome["count"].append(reading.count == int((labels.present == 1).sum()))
    return outcome


def abstains(reading: Reading, colour: str | None) -> bool:
    """Whether a faulty clip, or the erased solid of this colour, is left unknown."""
    if not reading.legible:
        return True
    solid = reading.solid(colour) if colour is not None else None
    return colour is not None and (solid is None or solid.shape == UNKNOWN)


def _spoilt(
    windows: list[Window], kind: str, config: ReaderConfig, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, str | None]]:
    """Faulty frames, and the colour of the erased solid if one is."""
    for index, window in enumerate(windows):
        if kind == "noise":
            yield noise(window.frames, rng), None
        elif kind == "blur":
            yield blur(window.frames, rng), None
        elif kind == "cross_fade":
            yield cross_fade(window.frames, windows[index - 1].frames, rng), None
        else:
            colours = np.flatnonzero(window.labels.present == 1)
            if len(colours):
                k = int(rng.choice(colours))
                yield (
                    erase(window.frames, window.masks == k + 1, render_plate(window, config), rng),
                    config.colours[k],
                )


def gate(reader: Reader, windows: int, faulty: int, progress: Progress) -> Result:
    """Measure the reader with everything reported: `windows` true ones and `faulty` of each kind of fault."""
    judge = Reader(reader.net, replace(reader.trust, reported=EVERYTHING))
    true: dict[str, list[list[bool]]] = {name: [] for name in EVERYTHING}
    for number, window in enumerate(draw_windows(HELD_OUT, judge.config, seed=SEED, count=windows)):
        for name, hits in true_outcomes(window, judge.read(window.frames), judge.config).items():
            true[name].append(hits)
        progress(number + 1, windows, "true")
    figures = [
        Figure.share(name, share_by_clip(hits), asked=TRUE, note="true renderings")
        for name, hits in true.items()
    ]
    drawn = list(draw_windows(HELD_OUT, judge.config, seed=FAULT_SEED, count=faulty))
    for number, kind in enumerate(KINDS):
        rng = np.random.Generator(np.random.Philox(key=(FAULT_SEED, number)))
        unknown = [
            abstains(judge.read(frames), colour) for frames, colour in _spoilt(drawn, kind, judge.config, rng)
        ]
        figures.append(Figure.share(f"unknown on {kind.replace('_', '-')}", share_of(unknown), asked=ABSTAIN))
        progress(number + 1, len(KINDS), kind)
    return Result(
        name="reader",
        title="The reader's gate",
        definition=" ".join((__doc__ or "").split("\n\n", 1)[1].split()),
        config={
            "windows": windows,
            "faulty a kind": faulty,
            "frames": judge.config.window,
            "size": judge.config.size,
        },
        figures=tuple(figures),
        provenance=provenance("float32"),
    )


def passed(result: Result) -> tuple[str, ...]:
    """Attributes that met the bar: what the reader may report."""
    return tuple(figure.name for figure in result.figures if figure.name in EVERYTHING and figure.met)


def record(result: Result, folder: Path) -> None:
    """Write `gate.json` beside a reader's weights, and let it report what passed and nothing else."""
    config, trust = read_config(folder / "config.json")
    write_config(folder / "config.json", config, replace(trust, reported=passed(result)))
    (folder / "gate.json").write_text(json.dumps(result.to_dict(), indent=2, ensure_ascii=False) + "\n")
