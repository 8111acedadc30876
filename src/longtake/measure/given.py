"""Takes from a picture, and from a video: is what was given still there, and is the prompt followed?

Pictures and videos are toybox's own renderings of held-out scenes, so that the truth of every case is known.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.measure.adherence import score
from longtake.measure.bench import BY_DEFAULT, TRUTH, Bench
from longtake.measure.cases import Asked, Case, asked_of, held_out_cases
from longtake.measure.results import Figure, Result
from longtake.measure.stats import share_by_clip, share_of
from longtake.media import FragmentedMp4Writer, VideoFormat
from longtake.pipeline import Pipeline
from longtake.world.captions import caption
from longtake.world.edit import edit
from longtake.world.reading import Reading
from longtake.world.state import state
from longtake.world.vocabulary import COLOURS

__all__ = ["STRENGTHS", "first_frame_psnr", "from_image", "from_video", "recoloured"]

SECONDS = 4.0
STRENGTHS = (0.3, 0.6, 0.9)
LEAST_PSNR, LEAST_SHARE, MOST_OFF = 30.0, 0.80, 0.10
EQUAL = 100.0
"""PSNR that stands for pictures without any difference."""
IDENTITY = ("colour", "shape", "ground")
WAYS = ("live", "file")


def from_image(bench: Bench) -> Result:
    """A held-out scene's first picture and its prompt: the take begins with it, keeps it, and moves as asked."""
    count = bench.frames(SECONDS)

    def do(case: Case) -> dict[str, Any]:
        true = bench.truth(case, count)
        take = bench.pipe.stream(case.prompt, seed=case.seed, num_frames=count, image=true[0])
        made = np.concatenate([chunk.frames for chunk in take])
        bench.show(case, made)
        reading, truth = bench.read(made, true)
        psnr = first_frame_psnr(bench.pipe, true[0], made[0])
        return {"psnr": psnr, "reading": reading.to_dict(), "truth": truth.to_dict()}

    cases = held_out_cases(bench.level, bench.prompts)
    takes = bench.run(f"from-image-level{bench.level}", {"seconds": SECONDS}, cases, do)
    worst = min(row["psnr"] for row in takes.rows)
    asked = {case.key: case.asked for case in cases}
    table = [
        Figure(
            name="first frame, worst case",
            value=worst,
            unit="dB",
            count=len(cases),
            asked=f">= {LEAST_PSNR:g}",
        ),
        *_followed(asked, takes.readings("reading"), least=LEAST_SHARE),
        *_followed(asked, takes.readings("truth"), note=TRUTH),
    ]
    definition = (
        f"{BY_DEFAULT} The first picture of toybox's rendering is given. First frame: PSNR to the codec's own "
        f"reconstruction of it; {EQUAL:g} where they are equal. Identity: every solid has its colour and shape, and "
        "the ground is right. Motion: of the solid of that colour."
    )
    return takes.result(f"Level {bench.level}: takes from a picture, {SECONDS:g} s", definition, table)


def from_video(bench: Bench) -> Result:
    """A held-out scene's video under the prompt of the same scene in another colour, live and from a file."""
    count = bench.frames(SECONDS)

    def do(case: Case) -> dict[str, Any]:
        source, values = bench.truth(case, count), dict[str, Any]()
        for way in WAYS:
            for strength in STRENGTHS:
                made = _remade(bench.pipe, case, source, strength, way)
                bench.show(replace(case, key=f"{case.key}-{way}-{strength:g}"), made)
                reading = bench.read(made)[0]
                off = _off(bench, case.asked, wanted[case.key], source, made, reading)
                values[_name(way, strength)] = {"off": off, "reading": reading.to_dict()}
        return values

    pairs = [recoloured(case) for case in held_out_cases(bench.level, bench.prompts)]
    cases, wanted = [case for case, _ in pairs], {case.key: asked for case, asked in pairs}
    config = {"seconds": SECONDS, "strengths": list(STRENGTHS)}
    takes = bench.run(f"from-video-level{bench.level}", config, cases, do)
    table = []
    for way in WAYS:
        for strength in STRENGTHS:
            name = _name(way, strength)
            found = [(case, row[name]) for case, row in zip(cases, takes.rows, strict=True)]
            near = share_of([row["off"] <= MOST_OFF for _, row in found])
            colour = share_of([_has_colour(case.asked, wanted[case.key], row) for case, row in found])
            table.append(Figure.share(f"{name}: positions kept", near, asked=LEAST_SHARE))
            table.append(Figure.share(f"{name}: prompted colour", colour, asked=LEAST_SHARE))
    definition = (
        f"{BY_DEFAULT} The source is toybox's rendering; the prompt asks for the same scene with its first solid in "
        "another colour. Live: its frames as they come; file: the same as H.264. Positions kept: the middle of that "
        f"solid is off by {MOST_OFF:g} of the frame's side or less on the mean; it is found by the new colour where a "
        "solid of that colour is read, by its own elsewhere. "
        "Prompted colour: a solid of the new colour is read, and none of the old."
    )
    return takes.result(f"Level {bench.level}: takes from a video, {SECONDS:g} s", definition, table)


def first_frame_psnr(pipe: Pipeline, given: np.ndarray, made: np.ndarray) -> float:
    """PSNR in dB of a take's first frame to what the codec alone makes of the picture, both uint8 [H, W, 3]."""
    codec, stream = pipe.codec, pipe.codec.start()
    device = next(codec.parameters()).device
    latents = codec.encode(torch.from_numpy(given.copy())[None, None].to(device), stream)
    own = codec.decode(latents, stream)[0, 0].cpu().numpy()
    error = float(np.square(own.astype(np.float64) - made).mean())
    return EQUAL if error == 0 else min(EQUAL, 10 * float(np.log10(255**2 / error)))


def recoloured(case: Case) -> tuple[Case, Asked]:
    """The case with a prompt for its first solid in a colour that no solid has, and what that asks for.

    Its scene, the source, and its `asked` are as they were.
    """
    used = {tint.colour for solid in case.scene.solids for tint in solid.tints}
    free = [colour for colour in COLOURS if colour not in used]
    wanted = edit(case.scene, colour=free[case.seed % len(free)])
    return replace(case, prompt=caption(wanted, split="held_out")), asked_of(state(wanted))


def _remade(pipe: Pipeline, case: Case, source: np.ndarray, strength: float, way: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        video: str | Iterator[np.ndarray] = iter(source)
        if way == "file":
            video = str(Path(folder) / "source.mp4")
            form = VideoFormat(width=source.shape[2], height=source.shape[1], fps=pipe.fps)
            with FragmentedMp4Writer(Path(video), form) as writer:
                writer.write(source)
        take = pipe.stream(case.prompt, seed=case.seed, video=video, strength=strength)
        return np.concatenate([chunk.frames for chunk in take])


def _off(
    bench: Bench, old: Asked, new: Asked, source: np.ndarray, made: np.ndarray, reading: Reading
) -> float:
    """Mean distance, in sides of the frame, of the first solid's middle in the take from where the source has it."""
    before, after = old.solids[0].colour, new.solids[0].colour
    seen = before if reading.solid(after) is None else after
    length = min(len(source), len(made))
    one, two = bench.reader.track(source[:length], before), bench.reader.track(made[:length], seen)
    return float(np.linalg.norm(one - two, axis=1).mean())


def _has_colour(old: Asked, new: Asked, row: dict[str, Any]) -> bool:
    read = [solid["colour"] for solid in row["reading"]["objects"]]
    return new.solids[0].colour in read and old.solids[0].colour not in read


def _followed(
    asked: dict[str, Asked], readings: dict[str, Reading], *, least: float | None = None, note: str = ""
) -> list[Figure]:
    outcomes = [score(asked[key], reading) for key, reading in readings.items()]
    same = share_of([all(all(outcome[name]) for name in IDENTITY) for outcome in outcomes])
    moved = share_by_clip([outcome["motion"] for outcome in outcomes])
    return [
        Figure.share("identity kept", same, asked=least, note=note),
        Figure.share("motion as prompted", moved, asked=least, note=note),
    ]


def _name(way: str, strength: float) -> str:
    return f"{way}, strength {strength:g}"
