"""Benchmarks of what takes show: prompts, changes, pictures, stories; and the making of takes to be judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from longtake.errors import UserError
from longtake.measure.app.common import PROMPTS, Given, command, progress

app = typer.Typer()


@command(app, PROMPTS, prompts=256)
def adherence(given: Given) -> None:
    """The first four seconds of held-out prompts, read back: colour, shape, motion, pairing, ground."""
    from longtake.measure.quality import adherence as measure

    given.finish(measure(given.bench()))


@command(app, PROMPTS, "long", prompts=32)
def late(
    given: Given,
    methods: Annotated[
        str | None, typer.Option("--methods", metavar="NAMES", help="Compare these instead; all, or a,b,c.")
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option("--frames", min=16, help="Frames of a take with --methods.", show_default=False),
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Denoising steps of every method with --methods.")
    ] = 20,
) -> None:
    """The same takes at frames 1000 to 1200: read back, cuts, motion against toybox's.

    With --methods: the same prompts through several methods of going on, one table; 240 frames a take.
    """
    from longtake.measure.compare import compare
    from longtake.measure.methods import chosen
    from longtake.measure.quality import long

    names = None if methods is None else chosen(methods)
    bench = given.bench()
    length = frames or (120 if given.quick else 240)
    given.finish(long(bench) if names is None else compare(bench, names, length, steps))


@command(app, PROMPTS)
def change(
    given: Given,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", help="reset, recache, interpolate, or all of them; the model's own unless given."
        ),
    ] = None,
) -> None:
    """A colour or a motion changes in the prompt at second 4: seen by second 8, and the rest kept?"""
    from longtake.measure.change import POLICIES
    from longtake.measure.change import change as measure

    bench = given.bench()
    for name in POLICIES if policy == "all" else (policy,):
        given.finish(measure(bench, policy=name))


@command(app, PROMPTS, "given")
def from_given(
    given: Given, what: Annotated[str, typer.Argument(metavar="WHAT", help="image, or video.")]
) -> None:
    """Takes from a picture, or from a video at three strengths: is what was given kept, the prompt followed?"""
    from longtake.measure.given import from_image, from_video

    measures = {"image": from_image, "video": from_video}
    if what not in measures:
        raise UserError(f"{what!r} is unknown; give image or video")
    given.finish(measures[what](given.bench()))


@command(app, tuple(name for name in PROMPTS if name not in ("level", "prompts")))
def narrative(
    given: Given,
    stories: Annotated[int, typer.Option("--stories", min=2, help="How many storyboards.")] = 32,
    beats: Annotated[int, typer.Option("--beats", min=2, help="Beats of each.")] = 4,
    every: Annotated[float, typer.Option("--every", min=3.0, help="Seconds of a beat.")] = 6.0,
) -> None:
    """Storyboards read back: beats seen, on time, in order, identity kept."""
    from longtake.measure.story import narrative as measure

    given.finish(measure(given.bench(prompts=stories), beats, every))


@command(app, ("level", "model", "fresh", "threads"))
def sheets(
    given: Given,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the pictures, readings and labels.")],
    clips: Annotated[int, typer.Option("--clips", min=1, help="How many takes.")] = 50,
) -> None:
    """Contact sheets of takes without their prompts, and a labels.yaml to fill in by eye."""
    from longtake.measure.by_eye import sheets as make
    from longtake.world.reader import Reader

    make(given.pipeline(), Reader.load(), given.level, clips, folder, progress, fresh=given.fresh)


@command(app, ("out", "as_json"))
def agreement(
    given: Given,
    sheets: Annotated[Path, typer.Option("--sheets", help="Folder made by `longtake bench sheets`.")],
) -> None:
    """How often the reader agrees with the labels that were filled in by eye."""
    from longtake.measure.by_eye import agreement as measure

    given.finish(measure(sheets))


@command(app, ("model", "threads"))
def film(
    given: Given,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the videos; those that are there stay.")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="streamingt2v, toybox, or a YAML file.")
    ] = "toybox",
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Other than the protocol's.", show_default=False)
    ] = None,
) -> None:
    """Make the videos of a protocol, for `longtake eval` and for VBench."""
    from longtake.measure.protocol import film_protocol, read_protocol

    what = read_protocol(protocol)
    film_protocol(given.pipeline(), what, folder, progress, frames=frames)
    typer.echo(f"measure them: longtake eval {folder} --prompts {folder / 'prompts.txt'}", err=True)


@command(app, ("as_json",))
def vbench(
    given: Given,
    videos: Annotated[Path, typer.Option("--videos", help="Folder made by `longtake bench film`.")],
    layout: Annotated[Path, typer.Option("--layout", help="Empty folder for VBench's own names.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of VBench's results.")] = Path("vbench"),
) -> None:
    """Lay videos out for VBench, and run it when it is installed."""
    from longtake.measure.vbench import lay_out, run_vbench

    files = sorted(videos.glob("*.mp4"))
    try:
        prompts = (videos / "prompts.txt").read_text(encoding="utf-8").splitlines()
        lay_out(list(zip(files, prompts, strict=True)), layout)
    except (OSError, ValueError) as reason:
        raise UserError(f"{videos} needs one prompt a video in prompts.txt ({reason})") from None
    rows = {figure.name: figure.value for figure in run_vbench(layout, folder)}
    lines = "\n".join(f"{name}: {value:.4g}" for name, value in rows.items())
    typer.echo(json.dumps(rows) if given.as_json else lines)
